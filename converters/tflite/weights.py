"""Weights and biases of a plan as tensors of the flatbuffer: int8, int4, int4 in blocks, int32, float32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from converters.tflite import flatbuffer as tfl
from converters.tflite.sites import Place, to_file
from edgevit.core.errors import UnsupportedError
from edgevit.core.plans import QuantParams, QuantPlan, SitePlan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LIMITS: Final = {"int8": 127, "int4": 7}
_BLOCK_STEP: Final = 32  # XNNPACK has no kernel for blocks that are no multiple of it


def add(model: Any, place: Place, site: SitePlan, plan: QuantPlan) -> int:
    """Add the rounded weight with its grid; returns the index of the tensor.

    int4 in blocks holds its scales in a float16 tensor (out channels, blocks). XNNPACK takes them as
    bfloat16, so they have to be exact in both.

    Raises:
        UnsupportedError: not what LiteRT has a kernel for, or of another shape than the layer's.
    """
    params, value = site.weight, plan.tensors.get(f"{site.site}.weight")
    if params is None or value is None or params.dtype not in _LIMITS or params.axis not in (None, 0):
        raise no_kernel(site, "weights must be int8 or int4 with a scale per output channel")
    if any(params.zero_point):
        raise no_kernel(site, "weights must be symmetric: zero point 0")
    operator = tfl.graph(model).operators[place.operator]
    stored = to_file(place, value)
    shape = tuple(int(n) for n in tfl.graph(model).tensors[int(operator.inputs[1])].shape)
    if stored.shape != shape or value.dtype.name != "int8":
        raise no_kernel(site, f"the plan's weight is {value.dtype} {value.shape}, the layer's {shape}")
    limit = _LIMITS[params.dtype]
    if int(abs(value.astype("int16")).max(initial=0)) > limit:
        raise no_kernel(site, f"its {params.dtype} weight is not within {limit}")
    name = f"{site.site}/weight/{params.dtype}"
    index = tfl.add_tensor(model, name, shape, params.dtype.upper(), stored)
    tensor = tfl.graph(model).tensors[index]
    if params.block is None:
        scale = _per_channel(params, value.shape[0])
        tfl.set_quantization(tensor, scale, [0] * len(scale), place.channel_axis)
    else:
        scales = _block_scales(site, params, shape)
        held = tfl.add_tensor(model, f"{site.site}/weight/scale", scales.shape, "FLOAT16", scales)
        tfl.set_blocks(tensor, held, params.block)
    return index


def set_integer_bias(model: Any, operator: Any, site: SitePlan, params: QuantParams, plan: QuantPlan) -> None:
    """The int32 bias of a static integer kernel, its scale input scale times weight scale."""
    import numpy as np

    has_input = len(operator.inputs) > 2 and operator.inputs[2] >= 0
    if site.bias == "float32":
        raise no_kernel(site, "LiteRT's integer kernels take an int32 bias")
    if site.bias == "none":
        old = tfl.constant(model, int(operator.inputs[2])) if has_input else None
        if old is None:
            return  # the operator has none either
        if np.any(old):
            raise no_kernel(site, "the plan leaves out the bias that the layer has")
        bias: NDArray[np.generic] = np.zeros(old.size, np.int32)
    else:
        bias = plan.tensors[f"{site.site}.bias"]
    weight = site.weight
    assert weight is not None  # _weight checked it
    scale = [params.scale[0] * s for s in _per_channel(weight, bias.size)]
    index = tfl.add_tensor(model, f"{site.site}/bias/int32", [bias.size], "INT32", bias)
    tfl.set_quantization(tfl.graph(model).tensors[index], scale, [0] * bias.size)
    operator.inputs = np.asarray([*list(operator.inputs)[:2], index], np.int32)


def set_float_bias(model: Any, operator: Any, site: SitePlan, plan: QuantPlan) -> None:
    """The plan's corrected bias, also for a layer that has none; without one the layer keeps its own."""
    import numpy as np

    value = plan.tensors.get(f"{site.site}.bias")
    if value is None:
        return
    channels = plan.tensors[f"{site.site}.weight"].shape[0]
    if site.bias != "float32" or value.dtype != np.float32 or value.shape != (channels,):
        raise no_kernel(site, f"its bias must be float32 ({channels},), not {value.dtype} {value.shape}")
    index = tfl.add_tensor(model, f"{site.site}/bias/float32", [channels], "FLOAT32", value)
    operator.inputs = np.asarray([*list(operator.inputs)[:2], index], np.int32)


def _block_scales(site: SitePlan, params: QuantParams, shape: tuple[int, ...]) -> NDArray[np.float32]:
    import numpy as np

    if params.dtype != "int4" or params.block is None or params.block % _BLOCK_STEP or len(shape) != 2:
        raise no_kernel(site, f"blocks are for int4 weights of linear layers, multiples of {_BLOCK_STEP}")
    if shape[1] % params.block or len(params.scale) != shape[0] * (shape[1] // params.block):
        raise no_kernel(site, f"{len(params.scale)} scales in blocks of {params.block} do not fit {shape}")
    scales = np.asarray(params.scale, np.float32).reshape(shape[0], -1)
    short = (scales.view(np.uint32) & 0xFFFF) == 0  # what is left of 32 bits in bfloat16
    if not (short & (scales.astype(np.float16).astype(np.float32) == scales)).all():
        raise no_kernel(site, "scales of blocks must be exact in float16 and in bfloat16")
    return scales


def _per_channel(params: QuantParams, channels: int) -> list[float]:
    """One scale per channel; written out where the plan has one for all, which is the same grid."""
    return list(params.scale) if len(params.scale) == channels else list(params.scale) * channels


def no_kernel(site: SitePlan, reason: str) -> UnsupportedError:
    """The error of a site for which LiteRT has no kernel."""
    return UnsupportedError(
        f"site {site.site} cannot be written to TFLite: {reason}", "make the plan with --to tflite"
    )
