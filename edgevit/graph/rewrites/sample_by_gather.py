"""Write bilinear sampling at computed coordinates (deformable attention) as gathers and arithmetic.

grid_sample reads an image (N, C, H, W) at points (N, rows, columns, 2) between -1 and 1, x first. Along an axis of n a
coordinate p is the place q between pixels, and the value there is that of the four pixels around it by their nearness:

    q = p (n - 1) / 2 + (n - 1) / 2  with aligned corners,  p n / 2 + (n - 1) / 2  without;   i = floor(q), t = q - i
    y = (1 - ty) (1 - tx) x[iy, ix] + (1 - ty) tx x[iy, ix + 1] + ty (1 - tx) x[iy + 1, ix] + ty tx x[iy + 1, ix + 1]

1. Zeros outside (`padding_mode="zeros"`): the weight of a pixel outside becomes 0, its index the nearest inside.
2. The border outside: q is clamped into the image first.
3. Nearest or bicubic sampling, reflection, volumes: left alone, for the converter to refuse by name.

Pixels are rows of a table (N * H * W, C), gathered by indices that float32 holds exactly below 2^24. TFLite has no
operator for it, and the converter's own form gives other values. Source: Jaderberg et al. 2015,
https://arxiv.org/abs/1506.02025, equation 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgevit.core.plugins import Rewrite
from edgevit.program import edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

_BILINEAR = 0
_ZEROS, _BORDER = 0, 1


def apply(program: ExportedProgram) -> int:
    """grid_sample: the four pixels around each point, weighted by their nearness.

    Outside of the image are zeros or its border, as asked. Other interpolations, reflection and volumes are
    left alone, for the converter to refuse: no vision transformer here uses them.
    """
    import torch

    aten = torch.ops.aten
    changed = 0
    for node in list(program.graph_module.graph.nodes):
        if node.target not in {aten.grid_sampler.default, aten.grid_sampler_2d.default}:
            continue
        image, grid, mode, padding, corners = node.args
        if mode != _BILINEAR or padding not in (_ZEROS, _BORDER) or len(edit.shape(image)) != 4:
            continue
        edit.replace(program, node, _sample(node, image, grid, bool(corners), padding == _BORDER))
        changed += 1
    return changed


def _sample(
    node: torch.fx.Node, image: torch.fx.Node, grid: torch.fx.Node, corners: bool, border: bool
) -> torch.fx.Node:
    import torch

    aten = torch.ops.aten

    def do(target: Any, *args: Any) -> torch.fx.Node:
        return edit.emit(node, target, args)

    batch, channels, height, width = edit.shape(image)
    rows, columns = edit.shape(grid)[1:3]
    pixels = do(aten.permute.default, image, [0, 2, 3, 1])
    table = do(aten.reshape.default, pixels, [batch * height * width, channels])

    def axis(index: int, size: int) -> tuple[torch.fx.Node, torch.fx.Node]:
        """The lower pixel of each point along one axis, (batch, rows, columns), and the way beyond it."""
        place = do(aten.slice.Tensor, grid, 3, index, index + 1)
        place = do(aten.reshape.default, place, [batch, rows, columns])
        scale = (size - 1) / 2 if corners else size / 2
        at = do(aten.add.Tensor, do(aten.mul.Tensor, place, scale), (size - 1) / 2)
        if border:  # what is not inside is on the outermost pixel
            at = do(aten.clamp.default, at, 0.0, float(size - 1))
        lower = do(aten.floor.default, at)
        return lower, do(aten.sub.Tensor, at, lower)

    def corner(lower: torch.fx.Node, part: torch.fx.Node, size: int, upper: bool) -> tuple[object, object]:
        """One of the two pixels of an axis, and its weight: 0 outside of the image.

        1 - |pixel - nearest pixel inside| is 1 inside and not above 0 outside. With a border only the pixel
        behind the last one is outside, and its weight is 0 already.
        """
        pixel = do(aten.add.Tensor, lower, 1.0) if upper else lower
        weight = part if upper else do(aten.add.Tensor, do(aten.neg.default, part), 1.0)
        inside = do(aten.clamp.default, pixel, 0.0, float(size - 1))
        if border:
            return inside, weight
        distance = do(aten.abs.default, do(aten.sub.Tensor, pixel, inside))
        mask = do(aten.relu.default, do(aten.add.Tensor, do(aten.neg.default, distance), 1.0))
        return inside, do(aten.mul.Tensor, weight, mask)

    x, y = axis(0, width), axis(1, height)
    across = [corner(*x, width, upper) for upper in (False, True)]
    down = [corner(*y, height, upper) for upper in (False, True)]
    total = None
    for row, row_weight in down:
        start = do(aten.mul.Tensor, row, float(width))
        for column, column_weight in across:
            place = do(aten.add.Tensor, start, column)
            flat = do(aten.reshape.default, place, [batch, rows * columns])
            index = edit.emit(node, aten._to_copy.default, (flat,), kwargs={"dtype": torch.int32})
            picked = _pick(node, table, index, (batch, height * width))
            weight = do(aten.mul.Tensor, row_weight, column_weight)
            weight = do(aten.reshape.default, weight, [batch * rows * columns, 1])
            part = do(aten.mul.Tensor, picked, weight)
            total = part if total is None else do(aten.add.Tensor, total, part)
    result = do(aten.reshape.default, total, [batch, rows, columns, channels])
    return do(aten.permute.default, result, [0, 3, 1, 2])


def _pick(
    node: torch.fx.Node, table: torch.fx.Node, index: torch.fx.Node, sizes: tuple[int, int]
) -> torch.fx.Node:
    """Rows of the table; each image of the batch has its own part of it. Indices are exact as float32 below 2^24."""
    import torch

    aten = torch.ops.aten
    batch, length = sizes
    count = edit.shape(index)[1]
    parts = []
    for number in range(batch):
        own = index if batch == 1 else edit.emit(node, aten.slice.Tensor, (index, 0, number, number + 1))
        own = edit.emit(node, aten.reshape.default, (own, [count]))
        rows = table
        if batch > 1:
            rows = edit.emit(node, aten.slice.Tensor, (table, 0, number * length, (number + 1) * length))
        parts.append(edit.emit(node, aten.index_select.default, (rows, 0, own)))
    return parts[0] if batch == 1 else edit.emit(node, aten.cat.default, (parts, 0))


REWRITE = Rewrite(
    summary="Write bilinear sampling at computed coordinates as gathers and arithmetic (TFLite).",
    order=240,
    apply=apply,
    targets=("tflite",),
)
