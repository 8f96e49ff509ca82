"""Quantize every activation of a model, not only those of layers: what NPUs without float arithmetic want.

1. Operations that only move values (reshape, slice, concat, maximum, padding with 0) keep the grid of what they read,
   so that tensors fall into groups with one grid each: what a concat joins is one group. A group's range is that of
   all its tensors. (Jacob et al. 2018, https://arxiv.org/abs/1712.05877, appendix A.3, asks the same of a concat.)
2. Sigmoids take the grid of their range, [0, 1]: scale 2^-8 or 2^-16, zero point 0. Hyperbolic tangents in 16 bits take
   that of [-1, 1], whatever was seen: HTP gives them on no other, and says so nowhere.
3. A group is `activations` wide, 8 bits, or `wide`, 16 bits. An operation computes in 16 bits if anything that it
   reads or writes has them. What it reads in 8 bits is widened, which is exact in uint16:

       s (q - z) = (s / 257) (257 q - 257 z)         q, z in [0, 255], 65535 = 257 * 255

   and what it gives in 8 bits is rounded to 16 first.
4. Constants that operations read (a position embedding, the gain of a norm) take grids of their own minimum and
maximum.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from edgevit.core.capabilities import ActivationType, BackendCapabilities
from edgevit.core.plans import SitePlan
from edgevit.core.plugins import Range
from edgevit.core.quant_params import WIDE, QuantParams
from edgevit.core.types import Graph, Stats
from edgevit.core.widths import UNIT, computed_grid, symmetric, unit_grid
from edgevit.graph.moves import is_move
from edgevit.program import constants
from edgevit.program.sites import kind_of, site_of
from edgevit.quant import _affine

if TYPE_CHECKING:
    import torch

_KEEPING: Final = frozenset(
    {
        "max_pool2d.default",
        "adaptive_max_pool2d.default",
        "constant_pad_nd.default",
        "pad.default",
        "expand.default",
        "repeat.default",
        "index.Tensor",
        "index_select.default",
        "gather.default",
        "clone.default",
        "alias.default",
        "contiguous.default",
        "pixel_shuffle.default",
        "pixel_unshuffle.default",
        "upsample_nearest2d.vec",
        "upsample_nearest2d.default",
        "squeeze.default",
        "amax.default",
        "max.dim",
    }
)
# Of a range in 16 bits: what no calibration image has reached would be clipped, and steps twice as wide cost nothing.
HEADROOM: Final = 1.5
# Of the image's range in 8 bits: on the grid of the pixel levels themselves they would all lie half way between two
# steps for means such as 0.5, and processors round such a half to different sides.
_NO_TIES: Final = 1.03
_NORMS: Final = ("layer_norm", "rms_norm", "instance_norm")


@dataclass(frozen=True, slots=True)
class Activations:
    """The activations of a model and the grids that they share.

    Attributes:
        group: tensor (the site that makes it, `image`, `SITE#index`) -> the tensor that its group is named by, the
        first. makers: those that an operation computes, or the model's input; all others are moved values.
        kinds: maker -> the kind of its operation, "" for the model's input.
        constant: nodes whose value is the same for all images.
        joined: moved values that constants are among, such as a class token in front of the patches.
    """

    group: Mapping[str, str]
    makers: tuple[str, ...]
    kinds: Mapping[str, str]
    constant: frozenset[torch.fx.Node]
    joined: tuple[str, ...] = ()


def keeps_grid(node: torch.fx.Node) -> bool:
    """Whether every value that `node` gives is one that it read, or 0."""
    name = str(node.target).removeprefix("aten.")
    if name in ("constant_pad_nd.default", "pad.default"):
        return all(not isinstance(a, float | int) or a == 0 for a in node.args[2:])
    return is_move(node) or name in _KEEPING


def find(graph: Graph) -> Activations:
    """All activations of `graph`, in the groups that share a grid."""
    program = graph.program
    names = constants.targets(program)
    parent: dict[str, str] = {}
    makers: list[str] = []
    kinds: dict[str, str] = {}
    constant: set[torch.fx.Node] = set()
    joined: list[str] = []

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for node in program.graph_module.graph.nodes:
        if node.op == "output":
            break
        if (node.op == "placeholder" and node.name in names) or (
            node.op == "call_function" and all(source in constant for source in node.all_input_nodes)
        ):
            constant.add(node)
            continue
        name = site_of(node)
        parent[name] = name
        read = [n for n in node.all_input_nodes if n not in constant] if node.op != "placeholder" else []
        if node.op == "placeholder" or not keeps_grid(node):
            if is_real(node):
                makers.append(name)
                kinds[name] = "" if node.op == "placeholder" else kind_of(name)
            continue
        if any(source in constant and is_real(source) for source in node.all_input_nodes):
            joined.append(name)
        roots = list(dict.fromkeys(root(site_of(source)) for source in read if is_real(source)))
        for other in roots[1:]:
            parent[other] = roots[0]
        if roots:
            parent[name] = roots[0]
    group = {name: root(name) for name in parent}
    return Activations(group, tuple(makers), kinds, frozenset(constant), tuple(joined))


def is_real(node: torch.fx.Node) -> bool:
    """Whether `node` gives real numbers, and not indices or a mask."""
    value = node.meta.get("val")
    return isinstance(value, list | tuple) or bool(getattr(value, "is_floating_point", lambda: True)())


def activation_grids(
    activations: Activations,
    stats: Stats,
    capabilities: BackendCapabilities,
    ranges: Range,
    wide: Collection[str] = (),
) -> dict[str, QuantParams]:
    """Tensor -> its grid.

    Args:
        stats: with ("minmax") of every maker.
        wide: names of groups that take 16 bits.
    """
    narrow = capabilities.activations
    assert narrow is not None
    limits: dict[str, list[tuple[float, float]]] = {}
    unit: dict[str, bool] = {}
    for maker in activations.makers:
        group = activations.group[maker]
        dtype = activation_type(capabilities, group in wide)
        low, high = (float(v) for v in stats.values[maker, "minmax"])
        reached = (HEADROOM * low, HEADROOM * high) if dtype in WIDE else ranges.choose(stats, maker)
        if activations.kinds[maker] == "tanh" and dtype in WIDE:
            reached = (-1.0, 1.0)
        if maker == "image" and dtype not in WIDE:
            reached = (_NO_TIES * reached[0], _NO_TIES * reached[1])
        limits.setdefault(group, []).append(reached)
        unit[group] = unit.get(group, True) and activations.kinds[maker] in (*UNIT, *capabilities.unit)
    for name in activations.joined:
        limits.setdefault(activations.group[name], []).append(
            (float(stats.values[name, "minmax"][0]), float(stats.values[name, "minmax"][1]))
        )
    found: dict[str, QuantParams] = {}
    for group, all_limits in limits.items():
        dtype = activation_type(capabilities, group in wide)
        low, high = min(low for low, _ in all_limits), max(high for _, high in all_limits)
        found[group] = (
            unit_grid(dtype)
            if unit[group]
            else _affine.activation_params(low, high, dtype, capabilities.scale_dtype)
        )
    return {name: found[group] for name, group in activations.group.items() if group in found}


def activation_type(capabilities: BackendCapabilities, wide: bool) -> ActivationType:
    """The type of a tensor of 8, or with `wide` of 16, bits."""
    found = capabilities.wide if wide else capabilities.activations
    assert found is not None
    return found


def rounded(value: torch.Tensor, site: SitePlan) -> torch.Tensor:
    """The result of an operation on the grid of its output, by way of the one that it computes in."""
    assert site.output is not None
    computed = computed_grid(site)
    if computed != site.output:
        value = _affine.fake_quantize(value, computed)
    return _affine.fake_quantize(value, site.output)


def operands(node: torch.fx.Node, constant: Collection[torch.fx.Node]) -> tuple[torch.fx.Node, ...]:
    """The activations that `node` reads, in the order of its arguments."""
    return tuple(n for n in _arguments(node) if n not in constant and is_real(n))


def right_side(node: torch.fx.Node, constant: Collection[torch.fx.Node]) -> int | None:
    """Which of `operands` stands on the right of a product; None where a constant does, or one operand is all."""
    reads = operands(node, constant)
    if len(reads) > 1:
        return 1
    return 0 if len(node.args) > 1 and node.args[0] in constant and node.args[1] in reads else None


def real_constants(node: torch.fx.Node, constant: Collection[torch.fx.Node]) -> tuple[torch.fx.Node, ...]:
    """The constants with real numbers that `node` reads, in the order of its arguments."""
    return tuple(n for n in _arguments(node) if n in constant and is_real(n))


def _arguments(node: torch.fx.Node) -> tuple[torch.fx.Node, ...]:
    """All that `node` reads, each once; `all_input_nodes` loses the order where an argument was replaced."""
    import torch

    found: dict[torch.fx.Node, None] = {}
    torch.fx.map_arg((node.args, node.kwargs), lambda n: found.setdefault(n))
    return tuple(found)


def constant_grids(
    kind: str, values: Sequence[torch.Tensor], read: QuantParams | None, dtype: ActivationType
) -> tuple[QuantParams, ...]:
    """The grids of the constants that an operation reads: each covers what it holds.

    A norm in 16 bits takes its gain in symmetric int16, and each norm its shift in int32, in steps of the input's
    scale times the gain's: HTP's kernels are exact with these alone.

    Args:
        read: of the activation that the operation reads first.
        dtype: what it computes in.
    """
    found = [
        _affine.activation_params(float(value.min()), float(value.max()), dtype, "float32")
        for value in values
    ]
    if kind in _NORMS and found:
        if dtype == "uint16":
            found[0] = symmetric(found[0])
        if len(found) > 1 and read is not None:
            largest = float(values[1].abs().max())
            scale = max(read.scale[0] * found[0].scale[0], largest / _affine.BIAS_LIMIT)
            found[1] = QuantParams("int32", (scale,), (0,))
    return tuple(found)


def is_gain(kind: str, index: int) -> bool:
    """Whether the constant number `index` of an operation is the gain of a norm."""
    return kind in _NORMS and index == 0


def leaves(node: torch.fx.Node, args: tuple[Any, ...]) -> dict[torch.fx.Node, Any]:
    """Each node that `node` reads -> its value in `args`, which has the form of `node.args`."""
    import torch

    found: dict[torch.fx.Node, Any] = {}

    def walk(named: Any, given: Any) -> None:
        if isinstance(named, torch.fx.Node):
            found[named] = given
        elif isinstance(named, list | tuple):
            for one, other in zip(named, given, strict=True):
                walk(one, other)

    walk(node.args, args)
    return found
