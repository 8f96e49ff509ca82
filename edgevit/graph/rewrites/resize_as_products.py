"""Write nearest and bicubic resizing and uneven averaging as products with constant matrices, one for each axis.

TFLite has no bicubic operator, and its nearest one rounds to other pixels than PyTorch's. Averages over parts of
different sizes (adaptive pooling from 16 to 7 pixels, say) would be gathered at rank 6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgevit.core.plugins import Rewrite
from edgevit.graph import _constants, _edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """Resizing is linear and separable: y = A x B^T. A and B are what PyTorch makes of unit images.

    A nearest resize by whole factors is left to TFLite, which then takes the same pixels, and so are averages
    over parts of one size.
    """
    import torch

    aten = torch.ops.aten
    bicubic = {aten.upsample_bicubic2d.vec, aten.upsample_bicubic2d.default}
    nearest = {aten.upsample_nearest2d.vec, aten.upsample_nearest2d.default}
    pooled = {aten.adaptive_avg_pool2d.default, aten._adaptive_avg_pool2d.default}
    changed = 0
    for node in list(program.graph_module.graph.nodes):
        if node.target not in bicubic | nearest | pooled or len(_edit.shape(node)) != 4:
            continue
        source = node.args[0]
        before, after = _edit.shape(source)[2:], _edit.shape(node)[2:]
        if node.target in nearest and all(a % b == 0 for a, b in zip(after, before, strict=True)):
            continue
        if node.target in pooled and all(b % a == 0 for a, b in zip(after, before, strict=True)):
            continue
        rows, columns = _matrix(node, before, after, 0), _matrix(node, before, after, 1)
        name = _constants.name_for(node)
        left = _constants.add(program, f"{name}.rows", rows[None, None])
        right = _constants.add(program, f"{name}.columns", columns.T[None, None])
        made = _edit.emit(node, aten.matmul.default, (_wide(node, left, source), source))
        made = _edit.emit(node, aten.matmul.default, (made, _wide(node, right, source)))
        _edit.replace(program, node, made)
        changed += 1
    return changed


def _matrix(node: torch.fx.Node, before: tuple[int, ...], after: tuple[int, ...], axis: int) -> torch.Tensor:
    """(after, before) of one axis: the resized columns of the unit matrix, the other axis left as it is."""
    import torch

    size, other = before[axis], before[1 - axis]
    unit = torch.eye(size, dtype=torch.float64)
    # One image for each unit vector, constant along the other axis, so that resizing that one changes nothing.
    images = unit[:, None, :, None].expand(size, 1, size, other) if axis == 0 else unit[:, None, None, :]
    images = images.expand(size, 1, *before).contiguous()
    resize: Any = node.target
    found: torch.Tensor = resize(images, *node.args[1:], **node.kwargs)
    line = found[:, 0, :, 0] if axis == 0 else found[:, 0, 0, :]
    return line.T.float()


def _wide(node: torch.fx.Node, matrix: torch.fx.Node, source: torch.fx.Node) -> torch.fx.Node:
    """The matrix once for each channel, as TFLite's and XNNPACK's batched product wants it."""
    import torch

    batch, channels = _edit.shape(source)[:2]
    shape = [batch, channels, *_edit.shape(matrix)[2:]]
    return _edit.emit(node, torch.ops.aten.expand.default, (matrix, shape))


REWRITE = Rewrite(
    summary="Nearest and bicubic resizing and uneven averages as products with constant matrices (TFLite).",
    order=235,
    apply=apply,
    targets=("tflite",),
)
