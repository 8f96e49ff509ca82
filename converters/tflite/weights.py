"""Weights and biases of a plan as tensors of the flatbuffer: int8, int4, int4 in blocks, int32, float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

from converters.tflite import flatbuffer as tfl
from converters.tflite.sites import Place, to_file
from edgevit.core.plans import QuantPlan, SitePlan
from edgevit.core.quant_params import QuantParams

if TYPE_CHECKING:
    from converters.tflite.objects import Model, Operator

    pass


def add(model: Model, place: Place, site: SitePlan, plan: QuantPlan) -> int:
    """Add the rounded weight with its grid; returns the index of the tensor.

    int4 in blocks holds its scales in a float16 tensor (out channels, blocks). XNNPACK takes them as
    bfloat16, so the capabilities ask for scales that are exact in both.
    """
    import numpy as np

    params, value = site.weight, plan.weight(site.site)
    assert params is not None, site.site
    operator = tfl.graph(model).operators[place.operator]
    stored = to_file(place, value)
    shape = tuple(int(n) for n in tfl.graph(model).tensors[int(operator.inputs[1])].shape)
    name = f"{site.site}/weight/{params.dtype}"
    index = tfl.add_tensor(model, name, shape, params.dtype.upper(), stored)
    tensor = tfl.graph(model).tensors[index]
    if params.block is None:
        scale = _per_channel(params, value.shape[0])
        tfl.set_quantization(tensor, scale, [0] * len(scale), place.channel_axis)
    else:
        scales = np.asarray(params.scale, np.float32).reshape(shape[0], -1)
        held = tfl.add_tensor(model, f"{site.site}/weight/scale", scales.shape, "FLOAT16", scales)
        tfl.set_blocks(tensor, held, params.block)
    return index


def set_integer_bias(
    model: Model,
    operator: Operator,
    site: SitePlan,
    params: QuantParams,
    plan: QuantPlan,
    dtype: str = "INT32",
) -> None:
    """The bias of a static integer kernel, its scale input scale times weight scale.

    Args:
        dtype: INT32, or INT64 for an int16 input.
    """
    import numpy as np

    has_input = len(operator.inputs) > 2 and operator.inputs[2] >= 0
    bias = plan.bias(site.site)
    if site.bias == "none" or bias is None:
        if not has_input:
            return
        # the converter gives a layer without bias one of zeros
        bias = np.zeros(tfl.graph(model).tensors[int(operator.inputs[2])].shape[0], np.int32)
    weight = site.weight
    assert weight is not None, site.site
    scale = [params.scale[0] * s for s in _per_channel(weight, bias.size)]
    index = tfl.add_tensor(model, f"{site.site}/bias/{dtype.lower()}", [bias.size], dtype, bias)
    tfl.set_quantization(tfl.graph(model).tensors[index], scale, [0] * bias.size)
    operator.inputs = np.asarray([*list(operator.inputs)[:2], index], np.int32)


def set_float_bias(model: Model, operator: Operator, site: SitePlan, plan: QuantPlan) -> None:
    """The plan's corrected bias, also for a layer that has none; without one the layer keeps its own."""
    import numpy as np

    value = plan.bias(site.site)
    if value is None:
        return
    index = tfl.add_tensor(model, f"{site.site}/bias/float32", [len(value)], "FLOAT32", value)
    operator.inputs = np.asarray([*list(operator.inputs)[:2], index], np.int32)


def _per_channel(params: QuantParams, channels: int) -> list[float]:
    """One scale per channel; written out where the plan has one for all, which says the same."""
    return list(params.scale) if len(params.scale) == channels else list(params.scale) * channels
