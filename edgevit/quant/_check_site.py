"""One site of a plan against the model's layer and against what the target's runtime can do."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from edgevit.core.capabilities import BackendCapabilities, OpCapabilities
from edgevit.core.errors import InputError
from edgevit.core.plans import QuantPlan, SitePlan, tensor_name
from edgevit.core.quant_params import LIMITS, WEIGHT_LIMITS, QuantParams
from edgevit.program.sites import PRODUCTS, Site
from edgevit.quant import _affine, integer_silu

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]
    ScaleType = Literal["float32", "float16", "bfloat16"]

_AGAIN = "write what `edgevit quantize` writes there, or take the site out of `sites` to leave it in float"


def check(
    label: str,
    planned: SitePlan,
    plan: QuantPlan,
    site: Site,
    kind: OpCapabilities,
    capabilities: BackendCapabilities,
    shape: tuple[int, ...] | None,
) -> None:
    """Raise InputError, beginning with `label`, for the first thing that cannot be done.

    Args:
        shape: of the weight; None for a product of two activations.
    """
    _activations(label, planned, site, kind, capabilities)
    if shape is None:
        if planned.weight is not None or planned.palette is not None or planned.bias != "none":
            raise InputError(f"{label}: a product of two activations has no weight and no bias", _AGAIN)
        return
    check_weight(label, planned, plan, site, kind, capabilities, shape)


def check_weight(
    label: str,
    planned: SitePlan,
    plan: QuantPlan,
    site: Site,
    kind: OpCapabilities,
    capabilities: BackendCapabilities,
    shape: tuple[int, ...],
) -> None:
    """Raise InputError for a weight or bias that is not what the layer and the backend take.

    Args:
        shape: of the weight.
    """
    _weights(label, planned, plan, kind, capabilities, shape)
    _bias(label, planned, plan, site, kind, shape[0])


def check_sigmoid(label: str, planned: SitePlan, between: bool) -> None:
    """Raise InputError for a sigmoid in integers that the file cannot have.

    Args:
        between: whether a SiLU between integers is behind the site.
    """
    if planned.sigmoid is not None and not between:
        raise InputError(f"{label}: no SiLU between integers is behind it", 'write "sigmoid": null')
    if planned.sigmoid not in (None, integer_silu.SIGMOID):
        raise InputError(
            f"{label}: its sigmoid is not uint8 in steps of 1/256", 'write that, or "sigmoid": null for float'
        )


def _activations(
    label: str, planned: SitePlan, site: Site, kind: OpCapabilities, capabilities: BackendCapabilities
) -> None:
    rhs = kind.input if site.kind in PRODUCTS else None
    for name, params, dtype in (
        ("input", planned.input, kind.input),
        ("rhs", planned.rhs, rhs),
        ("output", planned.output, kind.output),
    ):
        if (params.dtype if params is not None else None) != dtype:
            raise InputError(
                f"{label}: its {name} is {'float' if params is None else params.dtype}, "
                f"{capabilities.target} {capabilities.precision} takes {dtype or 'float'} there",
                _AGAIN,
            )
        if params is None:
            continue
        count = 1
        if params.axis is not None:
            if name != "output" or not kind.output_channels or params.axis != len(site.shape) - 1:
                raise InputError(
                    f"{label}: its {name} has a scale for each index of axis {params.axis}, "
                    f"{capabilities.target} takes one for the tensor",
                    _AGAIN,
                )
            count = site.shape[params.axis]
            if any(params.zero_point):
                raise InputError(f"{label}: a scale per channel needs the zero points 0", _AGAIN)
        if params.block is not None:
            raise InputError(f"{label}: its {name} cannot have blocks", _AGAIN)
        check_params(f"{label}: its {name}", params, count, capabilities.scale_dtype)
    if planned.dynamic not in (kind.dynamic, kind.dynamic and replace(kind.dynamic, normalized=False)):
        raise InputError(
            f"{label}: what it does with its input at run time is not what {capabilities.target} "
            f"{capabilities.precision} does",
            _AGAIN,
        )


def check_params(label: str, params: QuantParams, count: int, scale_dtype: ScaleType) -> None:
    """Raise InputError for a number, value or type of scales and zero points that is not right."""
    for name, values in (("scales", params.scale), ("zero points", params.zero_point)):
        if len(values) != count:
            raise InputError(f"{label} has {len(values)} {name}, {count} are needed", _AGAIN)
    low, high = LIMITS[params.dtype]
    for zero in params.zero_point:
        if not low <= zero <= high:
            raise InputError(
                f"{label} has the zero point {zero}, outside {params.dtype}", f"write {low} to {high}"
            )
    for scale in params.scale:
        if not math.isfinite(scale) or scale <= 0:
            raise InputError(f"{label} has the scale {scale:g}", "a scale is a finite number above 0")
        exact = _affine.nearest_scale(scale, scale_dtype)
        if exact is None or (scale_dtype != "float32" and exact != scale):
            raise InputError(
                f"{label} has the scale {scale!r}, which {scale_dtype} cannot hold",
                f"write {exact!r}"
                if exact is not None
                else f"write a scale within the range of {scale_dtype}",
            )


def _weights(
    label: str,
    planned: SitePlan,
    plan: QuantPlan,
    kind: OpCapabilities,
    capabilities: BackendCapabilities,
    shape: tuple[int, ...],
) -> None:
    if (planned.weight is None) == (planned.palette is None):
        raise InputError(f"{label}: a weight has quantization parameters or a palette", _AGAIN)
    if planned.palette is not None:
        _palette(label, planned, plan, kind, shape)
        return
    params = planned.weight
    assert params is not None
    if params.dtype not in ("int8", kind.weight):
        raise InputError(
            f"{label}: its weight is {params.dtype}, "
            f"{capabilities.target} {capabilities.precision} takes {kind.weight}",
            _AGAIN,
        )
    block = kind.block if params.dtype == "int4" else None
    if params.axis != 0 or params.block != block:
        raise InputError(
            f"{label}: its {params.dtype} weight takes scales along axis 0, "
            + ("one per output channel" if block is None else f"one for each {block} inputs"),
            _AGAIN,
        )
    if block is not None and shape[1] % block:
        raise InputError(f"{label}: {shape[1]} inputs are no multiple of blocks of {block}", _AGAIN)
    count = shape[0] * (1 if block is None else shape[1] // block)
    scale_dtype = (
        kind.scale_dtype if params.dtype == "int4" and kind.scale_dtype else capabilities.scale_dtype
    )
    check_params(f"{label}: its weight", params, count, scale_dtype)
    if any(params.zero_point):
        raise InputError(f"{label}: weights take the zero point 0", "write zeros")
    steps = _tensor(label, plan, tensor_name(planned.site, "weight"), "int8", shape)
    _within(label, "weight", steps, WEIGHT_LIMITS[params.dtype])
    _pairs(label, steps, kind.saturation_limit)


def _palette(
    label: str, planned: SitePlan, plan: QuantPlan, kind: OpCapabilities, shape: tuple[int, ...]
) -> None:
    import numpy as np

    palette = planned.palette
    assert palette is not None
    if f"lut{palette.bits}" != kind.weight or palette.group != kind.group:
        raise InputError(
            f"{label}: a palette of {palette.bits} bits for {palette.group} channels, this precision takes "
            + (f"{kind.weight} for {kind.group}" if kind.weight.startswith("lut") else kind.weight),
            _AGAIN,
        )
    size = 2**palette.bits
    groups = -(-shape[0] // palette.group)
    lists = _tensor(label, plan, tensor_name(planned.site, "lut"), "float32", (groups, size))
    if not np.isfinite(np.asarray(lists, np.float32)).all():
        raise InputError(f"{label}: its palette has values that are not finite", _AGAIN)
    indices = _tensor(label, plan, tensor_name(planned.site, "weight"), "uint8", shape)
    largest = int(np.asarray(indices, np.int64).max(initial=0))
    if largest >= size:
        raise InputError(f"{label}: the index {largest} is outside its palette of {size} values", _AGAIN)


def _bias(
    label: str, planned: SitePlan, plan: QuantPlan, site: Site, kind: OpCapabilities, channels: int
) -> None:
    import numpy as np

    wanted = "none" if site.bias is None else kind.bias
    if planned.bias != wanted:
        raise InputError(f"{label}: its bias is {planned.bias}, {wanted} is needed", f'write "{wanted}"')
    name = tensor_name(planned.site, "bias")
    if wanted == "int32":
        _tensor(label, plan, name, "int32", (channels,))
    elif wanted == "float32" and name in plan.tensors:
        values = np.asarray(_tensor(label, plan, name, "float32", (channels,)), np.float32)
        if not np.isfinite(values).all():
            raise InputError(f"{label}: its bias is not finite", _AGAIN)
    elif wanted == "none" and name in plan.tensors:
        raise InputError(f"{label}: the layer has no bias, the plan has the tensor {name}", _AGAIN)


def _tensor(label: str, plan: QuantPlan, name: str, dtype: str, shape: tuple[int, ...]) -> Array:
    found = plan.tensors.get(name)
    if found is None:
        raise InputError(f"{label}: the tensor {name} is missing", "keep its line in `tensors`")
    if str(found.dtype) != dtype or found.shape != shape:
        raise InputError(
            f"{label}: the tensor {name} is {found.dtype} {found.shape}, it must be {dtype} {shape}", _AGAIN
        )
    return found


def _within(label: str, what: str, steps: Array, limit: int) -> None:
    import numpy as np

    largest = int(np.abs(np.asarray(steps, np.int64)).max(initial=0))
    if largest > limit:
        raise InputError(f"{label}: its {what} reaches {largest}, -{limit} to {limit} is allowed", _AGAIN)


def _pairs(label: str, steps: Array, limit: int | None) -> None:
    import numpy as np

    if limit is None or (steps.ndim > 2 and steps.shape[1] == 1):  # a depthwise kernel adds no pairs
        return
    # kernels add the products of a convolution with the input channel running fastest
    ordered = np.moveaxis(steps, 1, -1) if steps.ndim > 2 else steps
    rows = np.abs(ordered.reshape(len(steps), -1).astype(np.int64))
    even = rows.shape[1] // 2 * 2
    largest = int((rows[:, 0:even:2] + rows[:, 1:even:2]).max(initial=0))
    if largest > limit:
        raise InputError(
            f"{label}: neighbouring weights sum to {largest}, at most {limit} keeps every processor exact",
            "make the plan with the same --option, or leave that option out",
        )
