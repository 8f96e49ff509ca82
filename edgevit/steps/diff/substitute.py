"""Run the reference beside itself: once undisturbed, and once with the artifact's values put in.

In the second run each site that was found in the artifact is computed from the artifact's own
inputs, held against the artifact's output, and then replaced by it. So each layer is judged alone,
and a fault shows where it is, not in everything behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgevit.core.types import Graph
from edgevit.graph.export import INPUT
from edgevit.program.run import run_single
from edgevit.program.sites import kind_of, site_of
from edgevit.steps.diff.sums import Sums, sqnr
from edgevit.steps.diff.values import Match, Values, read_best, search

if TYPE_CHECKING:
    import torch

# After a fold of LayerNorm scales into the next layers, one factor per channel explains the difference.
_FOLDED_GAIN_DB = 6.0
_FOLDED_TOKENS = 4


@dataclass(frozen=True, slots=True)
class Pair:
    """A value in the undisturbed run and in the one with the artifact's values."""

    clean: Any
    forced: Any


@dataclass(slots=True)
class Substituted:
    """What one site gave.

    Attributes:
        match: settled on the first image, None where the artifact has no tensor for it.
        other_form: the artifact has no tensor for it, but one that proves it right.
    """

    match: Match | None
    other_form: bool = False
    own: Sums = field(default_factory=Sums)
    entering: Sums = field(default_factory=Sums)
    total: Sums = field(default_factory=Sums)
    factor: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """How tensors are found and judged.

    Attributes:
        sites: those that are compared.
        named: site -> taps of the tensors that carry its name, the last first.
        output: site -> tap of an output of the file.
        brought: site of an output -> brings the reference's values to what both can be compared as.
        threshold: own error in dB from which on a layer is right.
        search_db: SQNR from which on a tensor without a name is a site.
        folds: LayerNorms may be scaled per channel.
    """

    sites: frozenset[str]
    named: Mapping[str, tuple[str, ...]]
    output: Mapping[str, str]
    brought: Mapping[str, Callable[[torch.Tensor], torch.Tensor]]
    threshold: float
    search_db: float
    folds: bool

    def bring(self, site: str, value: torch.Tensor) -> torch.Tensor:
        """The reference's value in the form in which this site is compared."""
        return self.brought[site](value) if site in self.brought else value


def run_beside(
    graph: Graph, image: torch.Tensor, values: Values, rules: Rules, found: dict[str, Substituted]
) -> None:
    """Compare all sites on one image, float32 (1, 3, height, width); `found` is added to."""

    def around(
        node: torch.fx.Node, operation: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Pair:
        clean = operation(*_side(args, "clean"), **_side(kwargs, "clean"))
        forced = operation(*_side(args, "forced"), **_side(kwargs, "forced"))
        site = site_of(node)
        if site not in rules.sites:
            return Pair(clean, forced)
        if site not in found:
            match = _match(node, values, rules, rules.bring(site, forced))
            found[site] = Substituted(
                match, match is None and _normalised(node, operation, args, values, rules)
            )
        entry = found[site]
        for pair in _pairs(args):
            entry.entering.add(pair.clean, pair.forced)
        if entry.match is None:
            return Pair(clean, forced)
        reading = entry.match.layout.read(values.by_tap[entry.match.tap])
        clean, forced = rules.bring(site, clean), rules.bring(site, forced)
        if rules.folds and _scales_channels(node):
            reading = _unfolded(entry, forced, reading, rules.threshold)
        entry.own.add(forced, reading)
        entry.total.add(clean, reading)
        return Pair(clean, reading)

    run_single(graph, Pair(image, image), around)


def _match(node: torch.fx.Node, values: Values, rules: Rules, expected: torch.Tensor) -> Match | None:
    site = site_of(node)
    output = rules.output.get(site)
    taps = rules.named.get(site) or (() if output is None else (output,))
    if not taps:
        return search(values, expected, rules.search_db)
    readings = [found for tap in taps if (found := read_best(values, tap, expected)) is not None]
    if not readings:
        return None
    # What a converter does around an operation, or a step of it, may carry its name as well: the last
    # one is meant, unless another is right, or only another has PyTorch's shape.
    shape = [size for size in expected.shape if size > 1]

    def fits(reading: tuple[Match, torch.Tensor, float]) -> tuple[bool, bool]:
        stored = values.by_tap[reading[0].tap].shape
        return reading[2] >= rules.threshold, [size for size in stored if size > 1] == shape

    match, reading, db = max(readings, key=fits)
    if db < rules.threshold and _fused(node, expected, reading, rules.threshold):
        return None
    return match


def _normalised(
    node: torch.fx.Node, operation: Callable[..., Any], args: tuple[Any, ...], values: Values, rules: Rules
) -> bool:
    """Whether a LayerNorm's values are there without its scale and shift, which were moved into the next weights."""
    if not kind_of(site_of(node)).startswith("layer_norm") or len(args) < 2:
        return False
    value, shape, *_ = _side(args, "forced")
    epsilon = args[4:5] or (1e-5,)
    return search(values, operation(value, shape, None, None, *epsilon), rules.search_db) is not None


def _fused(node: torch.fx.Node, expected: torch.Tensor, reading: torch.Tensor, threshold: float) -> bool:
    """Whether the tensor that carries the site's name holds what the next operation makes of it."""
    if len(node.users) != 1:
        return False
    (user,) = node.users
    if user.op != "call_function" or user.all_input_nodes != [node] or not callable(user.target):
        return False
    made = user.target(*(expected if a is node else a for a in user.args), **user.kwargs)
    return hasattr(made, "numel") and made.numel() == reading.numel() and sqnr(made, reading) >= threshold


def _scales_channels(node: torch.fx.Node) -> bool:
    """Whether it is a LayerNorm, or the product or sum with one number per channel that is left of one."""
    kind = kind_of(site_of(node))
    if kind not in ("mul", "add"):
        return kind == "layer_norm"
    constants = [n for n in node.all_input_nodes if n.op == "placeholder" and n.name != INPUT]
    return len(constants) == 1 and constants[0].meta["val"].numel() == node.meta["val"].shape[-1]


def _unfolded(
    entry: Substituted, expected: torch.Tensor, reading: torch.Tensor, threshold: float
) -> torch.Tensor:
    """Undo a factor per channel, which a quantized file may have moved into the layers that follow."""
    if entry.factor is None and expected.numel() // expected.shape[-1] >= _FOLDED_TOKENS:
        want, have = (t.reshape(-1, t.shape[-1]) for t in (expected, reading))
        factor = (want * have).sum(0) / have.square().sum(0).clamp(min=1e-30)
        after = sqnr(expected, reading * factor)
        if after >= max(threshold, sqnr(expected, reading) + _FOLDED_GAIN_DB):
            entry.factor = factor
    return reading if entry.factor is None else reading * entry.factor


def _side(value: Any, side: str) -> Any:
    from torch.utils._pytree import tree_map_only

    return tree_map_only(Pair, lambda pair: getattr(pair, side), value)


def _pairs(args: tuple[Any, ...]) -> list[Pair]:
    """What enters an operation: its float tensors that depend on the image."""
    from torch.utils._pytree import tree_leaves

    found = [leaf for leaf in tree_leaves(args) if isinstance(leaf, Pair)]
    return [p for p in found if hasattr(p.clean, "is_floating_point") and p.clean.is_floating_point()]
