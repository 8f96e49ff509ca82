"""Block reconstruction: weights and biases of a block are tuned together for what leaves the block.

Layers that were rounded one by one leave errors that a neighbour can still take up. Each block's integer weights (or
palettes) and biases are trained by gradient descent through the rounding (the straight-through estimator, Bengio et
al. 2013, https://arxiv.org/abs/1308.3432) to give, on what enters behind the planned blocks before, what the float
block gives on its own: BRECQ's objective (Li et al. 2021, https://arxiv.org/abs/2102.05426, equation 9), with the
weights themselves as parameters, as in EfficientQAT's first phase (Chen et al. 2024,
https://arxiv.org/abs/2407.11062). Scales and grids of activations stay as they are. Images that train nothing keep the
better of before and after, for each block and for the model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from edgevit.core.plans import QuantPlan, SitePlan, tensor_name
from edgevit.core.quant_params import LIMITS, WEIGHT_LIMITS, QuantParams
from edgevit.core.types import Graph
from edgevit.program.blocks import Block, blocks_of, run_block
from edgevit.program.sites import list_sites, site_of
from edgevit.quant import _affine, _site, integer_silu
from edgevit.quant.simulate import real_bias, real_weight
from edgevit.quant.weights import constants

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

STEPS: Final = 200
BATCH: Final = 16
# One image in eight, and at least eight, train nothing.
SHARE: Final = 8
FEWEST: Final = 8
# Adam's rates: of weights in steps of their grid, of palettes and biases relative to the spread of their values.
WEIGHT_RATE: Final = 0.03
OTHER_RATE: Final = 0.003


class _Layer:
    """A planned layer whose weight and bias are parameters."""

    def __init__(self, planned: SitePlan, plan: QuantPlan, bias: torch.Tensor | None) -> None:
        import torch

        self.planned = planned
        stored = torch.from_numpy(plan.weight(planned.site))
        if planned.palette is not None:
            lists = torch.from_numpy(plan.lut(planned.site))
            self.spread = float(lists.std())
            self.weight = (lists / self.spread).requires_grad_(True)
            self.rows = torch.arange(len(stored)) // planned.palette.group
            self.indices = stored.reshape(len(stored), -1).long()
            self.shape = tuple(stored.shape)
        else:
            assert planned.weight is not None
            self.weight = stored.float().requires_grad_(True)
            self.scales = _affine.weight_scales(planned.weight, tuple(stored.shape))
            self.limit = WEIGHT_LIMITS[planned.weight.dtype]
        own = real_bias(planned, plan)
        self.start = bias if own is None else own
        self.bias_spread = 0.0 if self.start is None else float(self.start.std(correction=0).clamp(min=1e-4))
        self.shift = None if self.start is None else torch.zeros_like(self.start, requires_grad=True)

    def real_weight(self) -> torch.Tensor:
        """Of the layer's shape, with a gradient."""
        if self.planned.palette is not None:
            lists = self.weight * self.spread
            return lists[self.rows].gather(1, self.indices).reshape(self.shape)
        steps = self.weight
        return (steps + (steps.round().clamp(-self.limit, self.limit) - steps).detach()) * self.scales

    def real_bias(self) -> torch.Tensor | None:
        """(out channels,), with a gradient; None where the layer has none."""
        if self.start is None or self.shift is None:
            return None
        return self.start + self.shift * self.bias_spread

    def tensors(self, scale_dtype: str) -> dict[str, NDArray[np.generic]]:
        """What the plan holds of it now."""
        import torch

        name = self.planned.site
        weight = self.weight.detach()
        found: dict[str, NDArray[np.generic]] = {}
        if self.planned.palette is not None:
            lists = weight * self.spread
            found[tensor_name(name, "lut")] = (
                lists.half().float() if scale_dtype == "float16" else lists
            ).numpy()
        else:
            found[tensor_name(name, "weight")] = (
                weight.round().clamp(-self.limit, self.limit).to(torch.int8).numpy()
            )
        bias = self.real_bias()
        if bias is None:
            return found
        values = bias.detach()
        if self.planned.bias == "int32":
            assert self.planned.input is not None and self.planned.weight is not None
            steps, _ = _site.integer_bias(values.double(), self.planned.input.scale[0], self.planned.weight)
            values = steps
        return {**found, tensor_name(name, "bias"): values.numpy()}


class Tuner:
    """Tunes each block of a plan that is being made, as soon as its layers are decided.

    The layers behind are then decided on what the tuned block gives. The steps of a block are fixed in number,
    so that the same inputs give the same bytes as long as `seconds` is enough; blocks that the time does not
    reach stay as they are.
    """

    def __init__(self, graph: Graph, plan: QuantPlan, images: int, seconds: float, seed: int) -> None:
        """Find the blocks, and divide images and seconds among them.

        Args:
            plan: as it is without tuning; its sites are those that will be decided.
            images: how many there are for calibration, at least 16.
        """
        kinds = plan.capabilities.kinds
        limited = {kind.kind for kind in kinds if kind.saturation_limit is not None}
        # Training would break a limit on pairs of weights.
        self._sites = frozenset(site.site for site in plan.sites if site.kind not in limited)
        self._biases = own_biases(graph)
        blocks = blocks_of(graph, self._sites)
        self._first = {block.entry: block for block in blocks}
        self._last = {block.nodes[-1]: block for block in blocks}
        self._entering: dict[Block, torch.Tensor] = {}
        self._graph, self._seed, self._end = graph, seed, time.monotonic() + seconds
        self._held_out = held_out(images)
        self.blocks, self.tried, self.kept = len(blocks), 0, 0

    def __call__(
        self, node: torch.fx.Node, real: Any, planned: Any, plan: QuantPlan
    ) -> tuple[dict[str, NDArray[np.generic]], torch.Tensor] | None:
        """After each operation: what `make_plan` asks of `tune`."""
        found = None
        if (block := self._last.get(node)) is not None:
            found = self._tune(block, self._entering.pop(block), real, plan)
        if (block := self._first.get(node)) is not None:
            self._entering[block] = planned if found is None else found[1]
        return found

    def _tune(
        self, block: Block, entering: torch.Tensor, target: torch.Tensor, plan: QuantPlan
    ) -> tuple[dict[str, NDArray[np.generic]], torch.Tensor] | None:
        import torch

        given = entering[~self._held_out], target[~self._held_out]
        changed = self._train(plan, block, given)
        if changed is None:
            return None
        self.tried += 1
        better = replace(plan, tensors={**plan.tensors, **changed})
        with torch.no_grad():
            before, after = (
                run_block(self._graph, block, entering, planned_operations(p, block, {}, self._biases))
                for p in (plan, better)
            )
        wanted = target[self._held_out]
        if (after[self._held_out] - wanted).square().sum() >= (
            before[self._held_out] - wanted
        ).square().sum():
            return None
        self.kept += 1
        return changed, after

    def _train(
        self, plan: QuantPlan, block: Block, given: tuple[torch.Tensor, torch.Tensor]
    ) -> dict[str, NDArray[np.generic]] | None:
        """The tensors of the block's layers, trained; None where it has none or the time did not last."""
        import torch

        layers = {
            planned.site: _Layer(planned, plan, self._biases.get(planned.site))
            for planned in plan.sites
            if planned.site in self._sites and planned.site in block.sites and planned.rhs is None
        }
        if not layers:
            return None  # products of two activations alone: they have no weights
        around = planned_operations(plan, block, layers, self._biases)
        integers = [layer.weight for layer in layers.values() if layer.planned.palette is None]
        others = [layer.weight for layer in layers.values() if layer.planned.palette is not None]
        others += [layer.shift for layer in layers.values() if layer.shift is not None]
        groups = [
            {"params": p, "lr": rate} for p, rate in ((integers, WEIGHT_RATE), (others, OTHER_RATE)) if p
        ]
        optimizer = torch.optim.Adam(groups)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
        generator = torch.Generator().manual_seed(self._seed)
        entering, target = given
        order = torch.empty(0, dtype=torch.long)
        for _ in range(STEPS):
            if time.monotonic() >= self._end:
                return None
            if len(order) < BATCH:
                order = torch.cat([order, torch.randperm(len(entering), generator=generator)])
            batch, order = order[:BATCH], order[BATCH:]
            with torch.enable_grad():
                left = run_block(self._graph, block, entering[batch], around)
                loss = (left - target[batch]).square().mean() / target.square().mean().clamp(min=1e-30)
                optimizer.zero_grad()
                loss.backward()
            optimizer.step()
            schedule.step()
        scale_dtype = plan.capabilities.scale_dtype
        return {key: array for layer in layers.values() for key, array in layer.tensors(scale_dtype).items()}


def held_out(images: int) -> torch.Tensor:
    """Which calibration images train nothing, bool (images,): one in eight, at least eight, at most half."""
    import torch

    return torch.arange(images) % max(2, min(SHARE, images // FEWEST)) == 0


def planned_operations(
    plan: QuantPlan, block: Block, layers: Mapping[str, _Layer], biases: Mapping[str, torch.Tensor]
) -> Callable[[torch.fx.Node, tuple[object, ...]], torch.Tensor | None]:
    """The planned operations of a block, those in `layers` with their parameters; for `run_block`.

    Args:
        biases: of the float model's layers, by site.
    """
    planned = {site.site: site for site in plan.sites if site.site in block.sites}
    sigmoids = {site.site: site.sigmoid for site in plan.sites if site.sigmoid is not None}
    held: dict[str, tuple[torch.Tensor, torch.Tensor | None]] = {}
    for name, site in planned.items():
        if name not in layers and site.rhs is None:
            own = real_bias(site, plan)
            held[name] = real_weight(site, plan), biases.get(name) if own is None else own

    def around(node: torch.fx.Node, args: tuple[Any, ...]) -> torch.Tensor | None:
        name = site_of(node)
        site = planned.get(name)
        if site is None:
            sigmoid = sigmoids.get(integer_silu.source_of(node) or "")
            return None if sigmoid is None else args[0] * _through(args[0].sigmoid(), sigmoid)
        assert callable(node.target)
        entered = args[0] if site.input is None else _through(args[0], site.input)
        if site.rhs is not None:
            result: torch.Tensor = node.target(entered, _through(args[1], site.rhs), *args[2:])
        else:
            if site.dynamic is not None:
                seen = args[0].detach()
                entered = args[0] + (_affine.fake_quantize_dynamic(seen, site.dynamic) - seen)
            layer = layers.get(name)
            weight, bias = held[name] if layer is None else (layer.real_weight(), layer.real_bias())
            result = node.target(entered, weight, bias, *args[3:])
        return result if site.output is None else _through(result, site.output)

    return around


def _through(value: torch.Tensor, params: QuantParams) -> torch.Tensor:
    """Rounded to the grid, with the gradient of clipping to what the grid covers."""
    scale, zero = _affine.broadcast(params, value.ndim)
    low, high = LIMITS[params.dtype]
    clipped = value.clamp((low - zero) * scale, (high - zero) * scale)
    return clipped + (_affine.fake_quantize(value.detach(), params) - clipped.detach())


def own_biases(graph: Graph) -> dict[str, torch.Tensor]:
    """Site -> the float model's bias, of all that have one."""
    values = constants(graph)
    return {site.name: values[site.bias] for site in list_sites(graph) if site.bias is not None}
