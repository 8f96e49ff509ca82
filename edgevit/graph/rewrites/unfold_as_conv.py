"""Write unfolding (im2col) and folding (col2im) with operators that every runtime has.

torch.nn.Unfold gives the patches of an image, torch.nn.Fold adds patches up to an image:

    (1, C, H, W) <-> (1, C * kh * kw, patches)        channels before kernel positions

1. Patches that tile the image (stride = kernel, no padding, no dilation): reshape, permute, reshape.
2. Overlapping patches (the tokens of T2T-ViT, Yuan et al. 2021): a convolution per channel with kh * kw kernels, each 1
   at one position and 0 elsewhere, (C * kh * kw, 1, kh, kw). Folding is its transpose, which adds overlapping patches.

Exact: each result is one pixel times 1, or a sum of pixels. The convolution is no site: there is nothing to quantize.
TFLite and Core ML have no such operators, and ONNX gathers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgevit.core.plugins import Rewrite
from edgevit.program import constants, edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """(1, C, H, W) <-> (1, C * kh * kw, patches), channels before kernel positions, as torch.nn.Unfold and Fold.

    The convolution is no site: its kernels are 0 and 1, and it multiplies nothing.
    """
    import torch

    aten = torch.ops.aten
    graph = program.graph_module.graph
    found = [n for n in graph.nodes if n.target in {aten.im2col.default, aten.col2im.default}]
    for node in found:
        value = _unfold(program, node) if node.target is aten.im2col.default else _fold(program, node)
        edit.replace(program, node, value)
    return len(found)


def _unfold(program: ExportedProgram, node: torch.fx.Node) -> torch.fx.Node:
    import torch

    aten = torch.ops.aten
    image, kernel, dilation, padding, stride = _arguments(node.args)
    batch, channels, height, width = edit.shape(image)
    (kh, kw), rows, columns = kernel, height // kernel[0], width // kernel[1]
    result = list(edit.shape(node))
    if _is_tiling(kernel, dilation, padding, stride) and (rows * kh, columns * kw) == (height, width):
        cut = edit.emit(node, aten.reshape.default, (image, [batch, channels, rows, kh, columns, kw]))
        moved = edit.emit(node, aten.permute.default, (cut, [0, 1, 3, 5, 2, 4]))
        return edit.emit(node, aten.reshape.default, (moved, result))
    picks = _picks(program, node, channels, kernel)
    args = (image, picks, None, stride, padding, dilation, channels)
    made = edit.emit(node, aten.conv2d.default, args, role="unfold")
    return edit.emit(node, aten.reshape.default, (made, result))


def _fold(program: ExportedProgram, node: torch.fx.Node) -> torch.fx.Node:
    import torch

    aten = torch.ops.aten
    columns_node, size = node.args[0], list(node.args[1])
    assert isinstance(columns_node, torch.fx.Node)
    _, kernel, dilation, padding, stride = _arguments((columns_node, *node.args[2:]))
    batch, count, _ = edit.shape(columns_node)
    (kh, kw), channels = kernel, count // (kernel[0] * kernel[1])
    rows, columns = (
        (size[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)
    )
    if _is_tiling(kernel, dilation, padding, stride) and [rows * kh, columns * kw] == size:
        cut = edit.emit(node, aten.reshape.default, (columns_node, [batch, channels, kh, kw, rows, columns]))
        moved = edit.emit(node, aten.permute.default, (cut, [0, 1, 4, 2, 5, 3]))
        return edit.emit(node, aten.reshape.default, (moved, list(edit.shape(node))))
    # The channels as a batch: they have one kernel, and TFLite no transposed convolution in groups.
    picks = _picks(program, node, 1, kernel)
    cut = [batch * channels, count // channels, rows, columns]
    image = edit.emit(node, aten.reshape.default, (columns_node, cut))
    reached = [
        (n - 1) * s - 2 * p + d * (k - 1) + 1
        for n, s, p, d, k in zip((rows, columns), stride, padding, dilation, kernel, strict=True)
    ]
    missing = [size[i] - reached[i] for i in (0, 1)]
    args = (image, picks, None, stride, padding, missing, 1, dilation)
    made = edit.emit(node, aten.conv_transpose2d.input, args, role="fold")
    return edit.emit(node, aten.reshape.default, (made, list(edit.shape(node))))


def _arguments(args: tuple[Any, ...]) -> tuple[torch.fx.Node, list[int], list[int], list[int], list[int]]:
    """Node, kernel, dilation, padding, stride."""
    node, *lists = args
    kernel, dilation, padding, stride = (list(v) if len(v) == 2 else list(v) * 2 for v in lists)
    return node, kernel, dilation, padding, stride


def _is_tiling(kernel: list[int], dilation: list[int], padding: list[int], stride: list[int]) -> bool:
    return kernel == stride and dilation == [1, 1] and padding == [0, 0]


def _picks(program: ExportedProgram, node: torch.fx.Node, channels: int, kernel: list[int]) -> torch.fx.Node:
    """(C * kh * kw, 1, kh, kw): kernel i of each channel is 1 at position i."""
    import torch

    count = kernel[0] * kernel[1]
    one = torch.eye(count, dtype=node.meta["val"].dtype).reshape(count, 1, *kernel)
    return constants.add(program, constants.name_for(node), one.repeat(channels, 1, 1, 1))


REWRITE = Rewrite(
    summary="Unfold and fold as reshapes, or as convolutions that pick pixels (no runtime has them).",
    order=30,
    apply=apply,
)
