"""Decide one layer: grids of its activations, its rounded weight, and its bias."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgevit.core.plugins import Range, Rounding
from edgevit.core.types import Grid, KindPlacement, Placement, SitePlan, Stats
from edgevit.graph.sites import Site
from edgevit.quant import _affine, _moments

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

# A row of calibration data says little about a direction that few rows have: the correction of a weight
# towards what the float layer gives is held back by this much for each (inputs / rows).
RIDGE = 4.0
FEWEST_ROWS_PER_INPUT = 1.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What entered a site on all calibration images, (N, 1, ...): in the float model, and in the planned one."""

    node: torch.fx.Node
    real: torch.Tensor
    planned: torch.Tensor


@dataclass(frozen=True, slots=True)
class Decided:
    """A site's part of the plan, and its tensors by their names in the plan."""

    plan: SitePlan
    tensors: dict[str, NDArray[np.generic]]
    weight: torch.Tensor
    bias: torch.Tensor | None


def decide(
    site: Site,
    kind: KindPlacement,
    placement: Placement,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stats: Stats,
    ranges: Range,
    rounding: Rounding,
    seen: Seen | None,
) -> Decided:
    """Choose everything for one site.

    Args:
        weight, bias: of the float layer, (out channels, ...) and (out channels,).
        seen: None where there are no calibration images.
    """
    import torch

    def grid(tensor: str, dtype: Any) -> Grid | None:
        if dtype is None:
            return None
        return _affine.activation_grid(*ranges.choose(stats, tensor), dtype, placement.scale_dtype)

    entry, leave = grid(site.source, kind.input), grid(site.name, kind.output)
    moments = None if seen is None else _measure(seen, weight, entry)
    wanted, wanted_bias = weight.double(), None if bias is None else bias.double()
    if moments is not None:
        wanted = _towards_float(wanted, moments)
    dtype, block = _weight_form(weight, kind)
    smallest = None
    integer_bias = bias is not None and kind.bias == "int32" and entry is not None
    if integer_bias and entry is not None and bias is not None:
        smallest = _affine.bias_scales(bias, entry.scale[0])
    groups = 1 if moments is None else len(moments.gram)
    importance = None if moments is None else _importance(moments, len(weight))
    scale_dtype = kind.scale_dtype if dtype == "int4" and kind.scale_dtype else placement.scale_dtype
    weight_grid = _affine.weight_grid(wanted, dtype, block, importance, scale_dtype, smallest)
    scales = _affine.weight_scales(weight_grid, tuple(weight.shape)).double().expand(weight.shape)
    inputs = math.prod(weight.shape[1:])
    order = _order_of_sums(weight)
    gram = None if moments is None else moments.gram[:, order][:, :, order]
    paired = weight.ndim == 2 or weight.shape[1] > 1  # a depthwise kernel adds no pairs
    found = rounding.round(
        wanted.reshape(groups, -1, inputs)[..., order],
        scales.reshape(groups, -1, inputs)[..., order],
        gram,
        _affine.WEIGHT_LIMITS[dtype],
        kind.pair_limit if paired else None,
    )
    steps = found[..., order.argsort()].reshape(weight.shape)
    rounded = steps.double() * scales
    tensors: dict[str, NDArray[np.generic]] = {f"{site.name}.weight": steps.numpy()}
    if wanted_bias is not None and moments is not None:
        wanted_bias = (
            wanted_bias
            + _mean_output(weight.double(), moments.mean_float)
            - _mean_output(rounded, moments.mean)
        )
    real_bias = None
    if wanted_bias is not None and integer_bias and entry is not None:
        bias_scale = entry.scale[0] * torch.tensor(weight_grid.scale, dtype=torch.float64)
        limit = 2 * _affine.BIAS_LIMIT - 1
        integers = (wanted_bias / bias_scale).round().clamp(-limit, limit)
        tensors[f"{site.name}.bias"] = integers.to(torch.int32).numpy()
        real_bias = (integers * bias_scale).float()
    elif wanted_bias is not None:
        real_bias = wanted_bias.float()
        if moments is not None:
            tensors[f"{site.name}.bias"] = real_bias.numpy()
    planned = SitePlan(
        site=site.name,
        kind=site.kind,
        input=entry,
        weight=weight_grid,
        output=leave,
        bias="none" if bias is None else "int32" if integer_bias else "float32",
        dynamic=kind.dynamic,
    )
    return Decided(planned, tensors, rounded.float(), real_bias)


def execute(node: torch.fx.Node, decided: Decided, args: tuple[Any, ...]) -> torch.Tensor:
    """The planned layer on its inputs, (N, 1, ...) -> (N, 1, ...)."""
    import torch

    plan = decided.plan
    operation: Any = node.target

    def one(value: torch.Tensor) -> torch.Tensor:
        entered = _affine.dequantize(_affine.quantize(value, plan.input), plan.input) if plan.input else value
        if plan.dynamic is not None:
            entered = _affine.at_run_time(value, plan.dynamic)
        result: torch.Tensor = operation(entered, decided.weight, decided.bias, *args[3:])
        return (
            _affine.dequantize(_affine.quantize(result, plan.output), plan.output) if plan.output else result
        )

    chunks = args[0].split(_moments.CHUNK)
    return torch.cat([torch.func.vmap(one)(chunk) for chunk in chunks])


def _order_of_sums(weight: torch.Tensor) -> torch.Tensor:
    """Inputs of a weight in the order in which kernels add: of a convolution, the input channel fastest."""
    import torch

    places = torch.arange(math.prod(weight.shape[1:])).reshape(weight.shape[1:])
    return places.movedim(0, -1).flatten() if weight.ndim > 2 else places


def _weight_form(weight: torch.Tensor, kind: KindPlacement) -> tuple[Any, int | None]:
    """Type and block of the weight: what the runtime has no kernel for stays int8 per channel."""
    if kind.weight != "int4" or (kind.block is not None and weight.shape[1] % kind.block):
        return "int8", None
    return "int4", kind.block


def _measure(seen: Seen, weight: torch.Tensor, entry: Grid | None) -> _moments.Moments | None:
    """Moments of the site's inputs; None where there are too few rows to say anything."""
    inputs = math.prod(weight.shape[1:])
    groups = _groups(seen, weight)
    planned = seen.planned
    if entry is not None:
        planned = _affine.dequantize(_affine.quantize(planned, entry), entry)
    moments = _moments.measure(seen.node, seen.real, planned, groups, inputs)
    return moments if moments.rows >= FEWEST_ROWS_PER_INPUT * inputs or moments.rows > 64 else None


def _groups(seen: Seen, weight: torch.Tensor) -> int:
    if weight.ndim == 2:
        return 1
    return int(seen.real.shape[2]) // int(weight.shape[1])


def _towards_float(weight: torch.Tensor, moments: _moments.Moments) -> torch.Tensor:
    """The weight that gives, on the planned inputs, what the float layer gives on its own; least squares."""
    import torch

    rows = weight.reshape(len(moments.gram), -1, moments.gram.shape[-1])
    mean = moments.gram.diagonal(dim1=-2, dim2=-1).mean(-1).clamp(min=1e-12)
    held = RIDGE * moments.gram.shape[-1] / moments.rows
    identity = torch.eye(moments.gram.shape[-1], dtype=weight.dtype)
    damped = moments.gram + ((0.01 + held) * mean)[:, None, None] * identity
    change = rows @ (moments.cross - moments.gram)
    corrected = rows + torch.linalg.solve(damped, change.transpose(1, 2)).transpose(1, 2)
    return corrected.reshape(weight.shape)


def _importance(moments: _moments.Moments, channels: int) -> torch.Tensor:
    diagonal = moments.gram.diagonal(dim1=-2, dim2=-1)
    return diagonal.repeat_interleave(channels // len(diagonal), dim=0).clamp(min=1e-12)


def _mean_output(weight: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """(out channels, ...) and (groups, inputs) -> the mean of the layer's output without its bias."""
    rows = weight.reshape(len(mean), -1, mean.shape[-1])
    return (rows * mean[:, None, :]).sum(-1).reshape(-1)
