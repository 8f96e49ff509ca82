"""Weights of a plan on their way into a Core ML file: integers with their scales, or indices into palettes.

PyTorch has no operators for what Core ML unpacks on its own. Two that have only a name and arguments stand
for it in the exported program; `register` tells coremltools what becomes of them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from converters.coreml.edits import add_constant, call, constant
from edgevit.core.errors import UnsupportedError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch.export import ExportedProgram

    from edgevit.core.plans import QuantPlan, SitePlan

PER_CHANNEL: Final = "edgevit::weight_by_scales"
PALETTE: Final = "edgevit::weight_of_palettes"
_ELSEWHERE: Final = "write Core ML in fp32, or this precision for another target"


def register() -> None:
    """Tell coremltools how to write the two operators; iOS 16 and 17 know only one scale per channel."""
    import numpy as np
    from coremltools import target
    from coremltools.converters.mil import Builder, register_torch_op
    from coremltools.converters.mil.mil import types
    from coremltools.converters.mil.mil.block import is_current_opset_version_compatible_with

    def narrow(integers: Any, name: str) -> Any:
        return integers.astype(types.nptype_from_builtin(types.string_to_builtin(name)))

    def weight_by_scales(context: Any, node: Any) -> None:
        integers, scale = (context[name].val for name in node.inputs[:2])
        if is_current_opset_version_compatible_with(target.iOS18):
            data = narrow(integers, f"int{node.inputs[2]}")
            made = Builder.constexpr_blockwise_shift_scale(data=data, scale=scale, name=node.name)
        else:
            made = Builder.constexpr_affine_dequantize(
                quantized_data=integers,
                zero_point=np.zeros(scale.size, np.int8),
                scale=scale.ravel(),
                axis=np.int32(0),
                name=node.name,
            )
        context.add(made, node.name)

    def weight_of_palettes(context: Any, node: Any) -> None:
        indices, lut = (context[name].val for name in node.inputs[:2])
        indices = narrow(indices, f"uint{node.inputs[2]}")
        context.add(Builder.constexpr_lut_to_dense(indices=indices, lut=lut, name=node.name), node.name)

    register_torch_op(weight_by_scales, torch_alias=[PER_CHANNEL], override=True)
    register_torch_op(weight_of_palettes, torch_alias=[PALETTE], override=True)


def place(
    program: ExportedProgram, node: torch.fx.Node, site: SitePlan, plan: QuantPlan, name: str, half: bool
) -> None:
    """Put the plan's weight in the place of the node's own.

    Args:
        name: of the new constants.
        half: the site computes in float16, and its scales and palettes are float16 numbers.

    Raises:
        UnsupportedError: float16 does not hold the weight, or it is all but zero.
    """
    import torch

    old = node.args[1]
    assert isinstance(old, torch.fx.Node), site.site
    shape = tuple(old.meta["val"].shape)
    integers = plan.weight(site.site)
    floats = stored_floats(site, plan, shape)
    if half:
        _check_half(site, integers, floats)
    own = constant(program, old)
    if own is not None:
        _check_kept(site.site, own.numpy(), _unpacked(site, integers, floats))
    rounded = floats.astype("float16").astype("float32") if half else floats
    stored = add_constant(program, name, torch.from_numpy(integers.copy()))
    beside = add_constant(program, f"{name}_floats", torch.from_numpy(rounded))
    bits, target = number_type(site)[1], PER_CHANNEL if site.palette is None else PALETTE
    made = call(node, _operator(target), (stored, beside, bits), f"{name}_float", old.meta["val"])
    node.args = (node.args[0], made, *node.args[2:])


def number_type(site: SitePlan) -> tuple[str, int]:
    """Name and bits of the type that the site's integers or indices are stored in."""
    if site.palette is not None:
        return f"uint{site.palette.bits}", site.palette.bits
    assert site.weight is not None, site.site
    return site.weight.dtype, 4 if site.weight.dtype == "int4" else 8


def stored_floats(site: SitePlan, plan: QuantPlan, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Scales or palettes in the form that Core ML takes, float32.

    Scales have the rank of the weight, (channels, blocks, 1, ...). Palettes are (groups, 1, ..., values, 1),
    and Core ML wants groups of one size: where the last group is smaller, all are cut to the largest size
    that divides both, and lists are repeated.

    Args:
        shape: of the weight, output channels first.
    """
    import numpy as np

    ones = (1,) * (len(shape) - 2)
    if site.palette is not None:
        lut, values = np.asarray(plan.lut(site.site), np.float32), 2**site.palette.bits
        size = math.gcd(shape[0], site.palette.group)
        return np.repeat(lut, site.palette.group // size, axis=0)[: shape[0] // size].reshape(
            -1, 1, *ones, values, 1
        )
    params = site.weight
    assert params is not None, site.site
    return np.asarray(params.scale, np.float32).reshape(shape[0], -1, *ones)


def check_half(site: str, what: str, values: NDArray[np.float32], largest: Any) -> None:
    """Refuse values that float16 rounds by more than half of its last digit, or cannot hold.

    Args:
        largest: what the error of each is measured by, broadcast to `values`.
    """
    import numpy as np

    with np.errstate(over="ignore"):
        off = np.abs(values.astype(np.float16).astype(np.float32) - values)
    if not (np.isfinite(off) & (off <= np.abs(largest) * 2.0**-11)).all():
        sizes = np.abs(values[np.nonzero(values)])
        raise UnsupportedError(
            f"{site}: {what} between {sizes.min(initial=np.inf):.3g} and {sizes.max(initial=0):.3g} do not fit "
            "float16, which Core ML computes in",
            _ELSEWHERE,
        )


def _check_half(site: SitePlan, integers: NDArray[np.generic], floats: NDArray[np.float32]) -> None:
    import numpy as np

    if site.palette is not None:
        check_half(site.site, "values of a palette", floats, np.abs(floats).max(-2, keepdims=True))
        return
    check_half(site.site, "weight scales", floats, floats)
    rows = np.abs(integers.astype(np.float32)).reshape(len(integers), floats.shape[1], -1).max(-1)
    check_half(site.site, "weights", rows * floats.reshape(rows.shape), np.inf)


def _check_kept(site: str, own: NDArray[np.float32], planned: NDArray[np.float32]) -> None:
    """A scale that had to become a float16 number can be so coarse that tiny weights are rounded to zero."""
    import numpy as np

    if not np.square(planned).sum() >= np.square(own).sum() / 4:
        raise UnsupportedError(
            f"{site}: the plan rounds its weights, of which the largest is {np.abs(own).max():.3g}, to all but "
            "zero; scales in float16 are 6e-05 at the least",
            _ELSEWHERE,
        )


def _unpacked(
    site: SitePlan, integers: NDArray[np.generic], floats: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The weight that the plan stands for."""
    import numpy as np

    rows = integers.reshape(len(integers), -1)
    if site.palette is not None:
        table = np.repeat(floats.reshape(len(floats), -1), len(rows) // len(floats), axis=0)
        return np.take_along_axis(table, rows.astype(np.int64), 1).reshape(integers.shape)
    parts = rows.astype(np.float32).reshape(len(rows), floats.shape[1], -1)
    return (parts * floats.reshape(len(rows), -1, 1)).reshape(integers.shape)


def _operator(name: str) -> torch._ops.OpOverload:
    import torch

    namespace, short = name.split("::")
    if not hasattr(getattr(torch.ops, namespace), short):
        torch.library.define(name, "(Tensor stored, Tensor floats, int bits) -> Tensor")
    found: torch._ops.OpOverload = getattr(getattr(torch.ops, namespace), short).default
    return found
