"""Which operations of a plan TFLite's kernels round otherwise than once, and what they compute, to the bit.

`fixed_point` has the arithmetic. All other operations are the real result, rounded once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from edgevit.core.plans import QuantPlan, SitePlan, bias_scales
from edgevit.core.quant_params import WIDE, QuantParams
from edgevit.core.widths import UNIT, computed_grid
from edgevit.quant import _affine, fixed_point

if TYPE_CHECKING:
    import torch


def compute(
    node: torch.fx.Node,
    reads: tuple[torch.fx.Node, ...],
    planned: SitePlan,
    plan: QuantPlan,
    operation: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> torch.Tensor | None:
    """The float32 result on the grid that the operation computes on; None where it rounds once.

    Args:
        reads: the activations among the arguments.
    """
    import torch

    read, second = planned.input, planned.rhs
    if read is None:
        return None
    computed = computed_grid(planned)
    wide = read.dtype in WIDE
    if planned.weight is not None:
        if planned.kind != "conv" or not wide:
            return None
        return _convolution(planned, plan, operation, (args[0], *args[3:]), kwargs)
    if second is not None and node.target in _products():
        if wide:
            return None
        first, other = _steps(args[0], read), _steps(args[1], second)
        total = operation(first.double(), other.double()).round().to(torch.int64)
        factor = read.scale[0] * second.scale[0] / computed.scale[0]
        return fixed_point.real(fixed_point.twice(total, factor), computed)
    if second is not None and wide and node.target == torch.ops.aten.mul.Tensor:
        factor = read.scale[0] * second.scale[0] / computed.scale[0]
        product = _steps(args[0], read) * _steps(args[1], second)
        return fixed_point.real(fixed_point.twice(product, factor), computed)
    if node.target in _sums() and computed.dtype not in WIDE and len(node.all_input_nodes) == 2:
        added = second or next(iter(planned.constants), None)
        if added is None or node.args[0] not in reads or kwargs:
            return None
        sign = -1 if node.target == torch.ops.aten.sub.Tensor else 1
        factors = (read.scale[0] / computed.scale[0], sign * added.scale[0] / computed.scale[0])
        return fixed_point.added(_steps(args[0], read), _steps(args[1], added), factors, computed)
    if planned.kind in UNIT and wide:
        return fixed_point.sigmoid(_affine.fake_quantize(args[0], read), read, computed)
    return None


def _convolution(
    planned: SitePlan,
    plan: QuantPlan,
    operation: Callable[..., Any],
    given: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> torch.Tensor:
    """Of int16 activations; `given` is the image (1, channels, height, width) and what follows the bias."""
    import torch

    assert planned.input is not None
    computed = computed_grid(planned)
    entered = _affine.quantize(given[0], planned.input).double()
    weight = torch.from_numpy(plan.weight(planned.site)).double()
    total = operation(entered, weight, None, *given[1:], **kwargs).round().to(torch.int64)
    bias = plan.bias(planned.site)
    if bias is not None:
        total += torch.from_numpy(bias).to(torch.int64).reshape(-1, 1, 1)
    factors = [float(scale) / computed.scale[0] for scale in bias_scales(planned)]
    shape = (-1, 1, 1) if len(factors) > 1 else (1,)
    return fixed_point.real(fixed_point.once(total, factors, shape), computed)


def _steps(value: torch.Tensor, params: QuantParams) -> torch.Tensor:
    """int64 steps from the zero point."""
    import torch

    return _affine.quantize(value, params).sub_(params.zero_point[0]).to(torch.int64)


@cache
def _sums() -> frozenset[object]:
    import torch

    aten = torch.ops.aten
    return frozenset({aten.add.Tensor, aten.sub.Tensor})


@cache
def _products() -> frozenset[object]:
    import torch

    aten = torch.ops.aten
    return frozenset({aten.matmul.default, aten.bmm.default})
