"""Decide one layer: grids of its activations, its rounded weight, and its bias."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from edgevit.core.capabilities import BackendCapabilities, OpCapabilities
from edgevit.core.plans import SitePlan, tensor_name
from edgevit.core.plugins import Clustering, Range, Rounding
from edgevit.core.quant_params import DynamicQuantization, QuantParams
from edgevit.core.types import Stats
from edgevit.program.sites import Site
from edgevit.quant import _affine, _moments, _weight

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

# A row of calibration data says little about a direction that few rows have: the correction of a weight
# towards what the float layer gives is held back by this much for each (inputs / rows).
RIDGE = 4.0
FEWEST_ROWS = 64
# One value in 16,000 of a normal distribution lies further out than this many standard deviations. A channel
# that was seen less often has not shown how far it reaches: a head gives one value an image.
REACH = 4.0
ROWS_THAT_SHOW_IT = 16_000
# A scale for each output channel costs a multiplication: it has to halve what the output's grid costs.
CHANNEL_GAIN = 0.5


@dataclass(frozen=True, slots=True)
class Choices:
    """The algorithms that decide."""

    ranges: Range
    rounding: Rounding
    clustering: Clustering


@dataclass(frozen=True, slots=True)
class Seen:
    """What entered a site on all calibration images, (N, 1, ...): in the float model, and in the planned one."""

    node: torch.fx.Node
    real: torch.Tensor
    planned: torch.Tensor


@dataclass(frozen=True, slots=True)
class Grids:
    """Of what a layer reads and writes."""

    input: QuantParams
    output: QuantParams


@dataclass(frozen=True, slots=True)
class Decided:
    """A site's part of the plan, its tensors by their names in the plan, and the real layer they stand for."""

    plan: SitePlan
    tensors: dict[str, NDArray[np.generic]]
    weight: torch.Tensor | None
    bias: torch.Tensor | None


def decide(
    site: Site,
    kind: OpCapabilities,
    capabilities: BackendCapabilities,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    stats: Stats,
    choices: Choices,
    seen: Seen | None,
    keep_8bit: bool,
    grids: Grids | None = None,
) -> Decided:
    """Choose everything for one site.

    Args:
        weight, bias: of the float layer, (out channels, ...) and (out channels,); a product of two activations
            has none.
        seen: None where there are no calibration images.
        keep_8bit: the first or the last layer, which takes 8 bits whatever the precision.
        grids: of its activations, where they are chosen for the whole model; None to choose them here.
    """
    entry = (
        _input_params(site.source, kind, capabilities, stats, choices.ranges)
        if grids is None
        else grids.input
    )
    if weight is None:
        assert site.rhs is not None, site.name
        second = _input_params(site.rhs, kind, capabilities, stats, choices.ranges)
        return Decided(SitePlan(site.name, site.kind, entry, None, None, "none", rhs=second), {}, None, None)
    dynamic = _at_run_time(kind, weight)
    moments = None if seen is None else _measure(seen, weight, entry, dynamic)
    wanted = weight.double() if moments is None else _towards_float(weight.double(), moments)
    input_scale = entry.scale[0] if kind.bias == "int32" and entry is not None else None
    smallest = None
    if bias is not None and input_scale is not None:
        smallest = _affine.bias_scales(bias, input_scale)
    stored = _weight.store(
        wanted, moments, kind, capabilities, choices.rounding, choices.clustering, keep_8bit, smallest
    )
    tensors = {tensor_name(site.name, name): array for name, array in stored.tensors.items()}
    real_bias = None
    if bias is not None:
        wanted_bias = bias.double()
        if moments is not None:
            float_mean = _mean_output(weight.double(), moments.mean_float)
            wanted_bias = wanted_bias + float_mean - _mean_output(stored.real, moments.mean)
        if input_scale is not None and stored.params is not None:
            steps, real_bias = integer_bias(wanted_bias, input_scale, stored.params)
            tensors[tensor_name(site.name, "bias")] = steps.numpy()
        else:
            real_bias = wanted_bias.float()
            if moments is not None:
                tensors[tensor_name(site.name, "bias")] = real_bias.numpy()
    planned = SitePlan(
        site=site.name,
        kind=site.kind,
        input=entry,
        weight=stored.params,
        output=(
            _output_params(site, kind, capabilities, stats, choices.ranges) if grids is None else grids.output
        ),
        bias="none" if bias is None else "int32" if input_scale is not None else "float32",
        palette=stored.palette,
        dynamic=dynamic,
    )
    return Decided(planned, tensors, stored.real.float(), real_bias)


def execute(node: torch.fx.Node, decided: Decided, args: tuple[Any, ...]) -> torch.Tensor:
    """The planned layer or product on its inputs, (N, 1, ...) -> (N, 1, ...)."""
    import torch

    plan = decided.plan
    operation: Any = node.target

    def one(value: torch.Tensor, *second: torch.Tensor) -> torch.Tensor:
        entered = value if plan.input is None else _affine.fake_quantize(value, plan.input)
        if plan.dynamic is not None:
            entered = _affine.fake_quantize_dynamic(value, plan.dynamic)
        if plan.rhs is not None:
            result: torch.Tensor = operation(entered, _affine.fake_quantize(second[0], plan.rhs), *args[2:])
        else:
            result = operation(entered, decided.weight, decided.bias, *args[3:])
        return result if plan.output is None else _affine.fake_quantize(result, plan.output)

    operands = args[:1] if plan.rhs is None else args[:2]
    chunks = zip(*(operand.split(_moments.CHUNK) for operand in operands), strict=True)
    return torch.cat([torch.func.vmap(one)(*chunk) for chunk in chunks])


def _at_run_time(kind: OpCapabilities, weight: torch.Tensor) -> DynamicQuantization | None:
    """Tokens are scaled to 1 where the layer has no more outputs than inputs.

    Scaling back takes passes over the outputs, which a wide layer has many of
    (docs/adr/0014-run-time-grids-and-4-bits.md has what it costs and gains).

    Args:
        weight: (out channels, in channels) of a linear layer.
    """
    if kind.dynamic is None or weight.shape[0] <= weight.shape[1]:
        return kind.dynamic
    return replace(kind.dynamic, normalized=False)


def _input_params(
    tensor: str, kind: OpCapabilities, capabilities: BackendCapabilities, stats: Stats, ranges: Range
) -> QuantParams | None:
    if kind.input is None:
        return None
    return _affine.activation_params(*ranges.choose(stats, tensor), kind.input, capabilities.scale_dtype)


def _output_params(
    site: Site, kind: OpCapabilities, capabilities: BackendCapabilities, stats: Stats, ranges: Range
) -> QuantParams | None:
    """Per tensor, or per channel of the last axis where the runtime can and the model's output gains."""
    if kind.output is None:
        return None
    sensitivities = stats.values.get((site.name, "range_sensitivity"))
    per_channel = stats.values.get((site.name, "channel_sensitivity"))
    worth = (
        sensitivities is not None
        and per_channel is not None
        and per_channel < CHANNEL_GAIN * sensitivities.min()
    )
    if kind.output_channels and site.kind == "linear" and worth:
        return _affine.channel_params(
            channel_limits(stats, site.name, site.shape), len(site.shape) - 1, capabilities.scale_dtype
        )
    return _affine.activation_params(*ranges.choose(stats, site.name), kind.output, capabilities.scale_dtype)


def channel_limits(stats: Stats, tensor: str, shape: tuple[int, ...]) -> list[float]:
    """The magnitude that the grid of each channel of the last axis has to cover.

    Args:
        shape: of the tensor for one image, (1, ..., channels).
    """
    import numpy as np

    limits = stats.values[tensor, "channel_absmax"]
    if stats.images * math.prod(shape[:-1]) < ROWS_THAT_SHOW_IT:
        mean, variance = stats.values[tensor, "channel_moments"]
        limits = np.maximum(limits, np.abs(mean) + REACH * np.sqrt(variance))
    return [float(limit) for limit in limits]


def integer_bias(
    wanted: torch.Tensor, input_scale: float, weight: QuantParams
) -> tuple[torch.Tensor, torch.Tensor]:
    """int32 steps of input scale * weight scale, and what they stand for."""
    import torch

    scale = input_scale * torch.tensor(weight.scale, dtype=torch.float64)
    limit = 2 * _affine.BIAS_LIMIT - 1
    steps = (wanted / scale).round().clamp(-limit, limit)
    return steps.to(torch.int32), (steps * scale).float()


def _measure(
    seen: Seen, weight: torch.Tensor, entry: QuantParams | None, dynamic: DynamicQuantization | None
) -> _moments.InputMoments | None:
    """InputMoments of the site's inputs, rounded as the kernel does; None where there are too few rows."""
    rounded: Callable[[torch.Tensor], torch.Tensor] | None = None
    if entry is not None:
        rounded = partial(_affine.fake_quantize, params=entry)
    elif dynamic is not None and dynamic.per != "tensor":
        rounded = partial(_affine.fake_quantize_dynamic, how=dynamic)
    groups = 1 if weight.ndim == 2 else int(seen.real.shape[2]) // int(weight.shape[1])
    found = _moments.measure(seen.node, seen.real, seen.planned, weight, groups, rounded)
    return found if found.rows >= FEWEST_ROWS else None


def _towards_float(weight: torch.Tensor, moments: _moments.InputMoments) -> torch.Tensor:
    """The weight that gives, on the planned inputs, what the float layer gives on its own; least squares."""
    import torch

    rows = weight.reshape(len(moments.hessian), -1, moments.hessian.shape[-1])
    mean = moments.hessian.diagonal(dim1=-2, dim2=-1).mean(-1).clamp(min=1e-12)
    held = RIDGE * moments.hessian.shape[-1] / moments.rows
    identity = torch.eye(moments.hessian.shape[-1], dtype=weight.dtype)
    damped = moments.hessian + ((0.01 + held) * mean)[:, None, None] * identity
    change = torch.linalg.solve(damped, moments.shift.transpose(1, 2)).transpose(1, 2)
    corrected: torch.Tensor = rows + change
    return corrected.reshape(weight.shape)


def _mean_output(weight: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """(out channels, ...) and (groups, inputs) -> the mean of the layer's output without its bias."""
    rows = weight.reshape(len(mean), -1, mean.shape[-1])
    return (rows * mean[:, None, :]).sum(-1).reshape(-1)
