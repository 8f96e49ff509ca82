"""Write layer norm and group norm as the fewest operators that TFLite has; it has none for either.

    c = x - mean(x),   y = c * rsqrt(mean(c * c) + eps) * gamma + beta

Layer norm (Ba et al. 2016, https://arxiv.org/abs/1607.06450): means over the last axes of (..., C), gamma, beta (C,).
Group norm (Wu and He 2018, https://arxiv.org/abs/1803.08494): means over each of G groups of C / G channels and all
pixels of (N, C, H, W), computed channels last as (N, H * W, G, C / G).

1. The variance is taken of the centred value: mean(x * x) - mean(x)^2 loses it in float32 where the mean is large.
2. Where the stream that a layer norm reads has no mean over the channels (see `edgevit.graph.streams`), c is x.
3. One group: the axes stay apart, (N, H, W, C), and no reshape is needed.

The converter's own form has five operators more. Exact up to rounding in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgevit.core.plugins import Rewrite
from edgevit.graph import streams
from edgevit.program import edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """c = x - mean(x); y = c * rsqrt(mean(c * c) + eps) * gamma + beta (Ba et al. 2016; Wu and He 2018).

    The variance is taken of the centred value: mean(x * x) - mean(x) ** 2 would lose it in float32
    where the mean is large. The converter's own form has five operators more. Where the stream that a layer
    norm reads has no mean there is nothing to subtract.
    """
    import torch

    aten = torch.ops.aten
    graph = program.graph_module.graph
    changed = 0
    centred = streams.mean_free_norms(program)
    for node in list(graph.nodes):
        if node.target is aten.layer_norm.default:
            made = _layer_norm(node, node in centred)
        elif node.target is aten.group_norm.default and _is_image(node):
            made = _group_norm(node)
        else:
            continue
        edit.replace(program, node, made)
        changed += 1
    return changed


def _layer_norm(node: torch.fx.Node, centred: bool) -> torch.fx.Node:
    given = edit.bound(node, ("x", "shape", "weight", "bias", "eps"))
    rank = len(edit.shape(given["x"]))
    axes = list(range(rank - len(given["shape"]), rank))
    value = given["x"] if centred else _centred(node, given["x"], axes)
    return _affine(node, _scaled(node, value, axes, given), given)


def _is_image(node: torch.fx.Node) -> bool:
    source = node.args[0]
    return edit.is_tensor(source) and len(edit.shape(source)) == 4


def _group_norm(node: torch.fx.Node) -> torch.fx.Node:
    """(1, C, H, W). Several groups are taken apart channels last, where TFLite keeps them."""
    import torch

    aten = torch.ops.aten
    given = edit.bound(node, ("x", "groups", "weight", "bias", "eps"))
    source, groups = given["x"], given["groups"]
    batch, channels, height, width = edit.shape(source)
    last = edit.emit(node, aten.permute.default, (source, [0, 2, 3, 1]))
    shape, axes = [batch, height, width, channels], [1, 2, 3]
    if groups > 1:
        last = edit.emit(
            node, aten.reshape.default, (last, [batch, height * width, groups, channels // groups])
        )
        axes = [1, 3]
    value = _scaled(node, _centred(node, last, axes), axes, given)
    if groups > 1:
        value = edit.emit(node, aten.reshape.default, (value, shape))
    return edit.emit(node, aten.permute.default, (_affine(node, value, given), [0, 3, 1, 2]))


def _centred(node: torch.fx.Node, value: torch.fx.Node, axes: list[int]) -> torch.fx.Node:
    import torch

    aten = torch.ops.aten
    mean = edit.emit(node, aten.mean.dim, (value, axes, True))
    return edit.emit(node, aten.sub.Tensor, (value, mean))


def _scaled(
    node: torch.fx.Node, centred: torch.fx.Node, axes: list[int], given: dict[str, Any]
) -> torch.fx.Node:
    """To a variance of 1."""
    import torch

    aten = torch.ops.aten
    square = edit.emit(node, aten.mul.Tensor, (centred, centred))
    variance = edit.emit(node, aten.mean.dim, (square, axes, True))
    safe = edit.emit(node, aten.add.Tensor, (variance, float(given.get("eps", 1e-5))))
    return edit.emit(node, aten.mul.Tensor, (centred, edit.emit(node, aten.rsqrt.default, (safe,))))


def _affine(node: torch.fx.Node, value: torch.fx.Node, given: dict[str, Any]) -> torch.fx.Node:
    import torch

    aten = torch.ops.aten
    for target, name in ((aten.mul.Tensor, "weight"), (aten.add.Tensor, "bias")):
        if given.get(name) is not None:
            value = edit.emit(node, target, (value, given[name]))
    return value


REWRITE = Rewrite(
    summary="Write layer norm and group norm as the fewest operators that TFLite has.",
    order=220,
    apply=apply,
    targets=("tflite",),
)
