"""Write convolutions over patches that do not overlap as linear layers.

The patch embedding of a ViT (Dosovitskiy et al. 2021, https://arxiv.org/abs/2010.11929, equation 1) is a convolution
whose stride is its kernel. Each output pixel then reads pixels that no other one reads:

    y[n, o, r, c] = b[o] + sum over i, j, k of  W[o, k, i, j]  x[n, k, r kh + i, c kw + j]

which is a linear layer over the patches (N, rows * columns, kh * kw * C) with the weight (O, kh * kw * C), C last as
TFLite stores images. The same products are added up, so that it is exact up to the order of
summation.

It applies to convolutions with one group, no padding, no dilation, a stride equal to the kernel, a kernel larger than
1x1, and an image whose sides the kernel divides. All others stay convolutions.

Why: in TFLite a linear layer can be quantized dynamically for each token, a convolution only for the whole image.
No value on the way has more than four axes, which its kernels are made for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgevit.core.plugins import Fold
from edgevit.core.types import Graph, Stats
from edgevit.program import constants, edit
from edgevit.program.sites import name_sites, site_of

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

_ARGUMENTS = ("image", "weight", "bias", "stride", "padding", "dilation", "groups")


def apply(graph: Graph, stats: Stats) -> tuple[str, ...]:
    """(1, C, H, W) is cut into (1, patches, kh * kw * C) and multiplied: exact. Returns the new layers.

    The first layer of a ViT (Dosovitskiy et al. 2021, equation 1), and reductions by whole steps. Unlike a
    convolution a linear layer can be quantized for each token at run time.
    """
    found = [n for n in graph.program.graph_module.graph.nodes if _cuts_patches(graph.program, n)]
    layers = [_as_linear(graph.program, node) for node in found]
    if layers:
        constants.drop_unused(graph.program)
        name_sites(graph.program)
    return tuple(site_of(layer) for layer in layers)


def _cuts_patches(program: ExportedProgram, node: torch.fx.Node) -> bool:
    """Whether it is a convolution without groups whose stride is its kernel, over an image of whole patches."""
    import torch

    if node.target is not torch.ops.aten.conv2d.default:
        return False
    given = edit.bound(node, _ARGUMENTS)
    weight = constants.value(program, given["weight"])
    if weight is None or given.get("groups", 1) != 1:
        return False
    kernel, size = tuple(weight.shape[2:]), edit.shape(given["image"])[2:]
    plain = _pair(given.get("padding", 0)) == (0, 0) and _pair(given.get("dilation", 1)) == (1, 1)
    whole = all(n % k == 0 for n, k in zip(size, kernel, strict=True))
    return plain and whole and kernel != (1, 1) and _pair(given.get("stride", 1)) == kernel


def _as_linear(program: ExportedProgram, node: torch.fx.Node) -> torch.fx.Node:
    """Put the patches, the layer and the way back in the place of `node`; the layer.

    No value has more than four axes, which TFLite's kernels are made for.
    """
    import torch

    aten = torch.ops.aten
    given = edit.bound(node, _ARGUMENTS)
    weight = constants.value(program, given["weight"])
    assert weight is not None
    batch, channels, height, width = edit.shape(given["image"])
    outputs, _, kh, kw = weight.shape
    rows, columns = height // kh, width // kw
    name = f"{constants.targets(program)[given['weight'].name]}_patches"
    matrix = constants.add(program, name, weight.permute(0, 2, 3, 1).reshape(outputs, -1))
    last = edit.emit(node, aten.permute.default, (given["image"], [0, 2, 3, 1]))
    cut = edit.emit(node, aten.reshape.default, (last, [batch * rows, kh, columns, kw * channels]))
    moved = edit.emit(node, aten.permute.default, (cut, [0, 2, 1, 3]))
    patches = edit.emit(node, aten.reshape.default, (moved, [batch, rows * columns, kh * kw * channels]))
    layer = edit.emit(node, aten.linear.default, (patches, matrix, given.get("bias")))
    first = edit.emit(node, aten.permute.default, (layer, [0, 2, 1]))
    back = edit.emit(node, aten.reshape.default, (first, [batch, outputs, rows, columns]))
    edit.replace(program, node, back)
    return layer


def _pair(value: Any) -> tuple[int, ...]:
    return tuple(value) * (3 - len(value)) if isinstance(value, list | tuple) else (value, value)


ALGORITHM = Fold(
    summary="Fold: convolutions over patches that do not overlap as linear layers (TFLite).",
    observers=(),
    apply=apply,
)
