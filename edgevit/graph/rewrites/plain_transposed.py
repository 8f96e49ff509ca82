"""Write transposed convolutions as litert-torch converts them: in one group, nothing cut off or added at the borders.

What is cut off is cut by slices. Where that is not enough, the layer becomes a convolution: a transposed convolution of
stride s adds a copy of the kernel for each pixel, s apart, which is the convolution with the kernel turned by 180
degrees over the image whose pixels stand s apart with zeros in between (Dumoulin and Visin 2016, A guide to
convolution arithmetic for deep learning, chapter 4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgevit.core.plugins import Rewrite
from edgevit.program import constants, edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

_NAMES = ("x", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")


def apply(program: ExportedProgram) -> int:
    """The others stay."""
    import torch

    changed = 0
    for node in list(program.graph_module.graph.nodes):
        given = edit.bound(node, _NAMES) if node.target is torch.ops.aten.conv_transpose2d.input else {}
        weight = constants.value(program, given.get("weight"))
        if weight is None or len(edit.shape(given["x"])) != 4:
            continue
        stride, padding, more, dilation = (
            _pair(given.get(key, usual))
            for key, usual in (("stride", 1), ("padding", 0), ("output_padding", 0), ("dilation", 1))
        )
        alone = given.get("groups", 1) == 1 and dilation == (1, 1)
        ordinary = all(
            not cut or (step == 1 and cut < size)  # with stride 1 it is an ordinary convolution
            for cut, step, size in zip(padding, stride, weight.shape[2:], strict=True)
        )
        if alone and ordinary and not (any(padding) and any(more)):
            continue
        if alone and all(added <= cut for added, cut in zip(more, padding, strict=True)):
            made = _cut(node, given, stride, padding)
        else:
            made = _as_conv(program, node, given, weight, (stride, padding, more, dilation))
        edit.replace(program, node, made)
        changed += 1
    return changed


def _cut(
    node: torch.fx.Node, given: dict[str, Any], stride: tuple[int, int], padding: tuple[int, int]
) -> torch.fx.Node:
    import torch

    aten = torch.ops.aten
    args = (given["x"], given["weight"], given.get("bias"), list(stride))
    made = edit.emit(node, aten.conv_transpose2d.input, args, role="conv_transpose")
    for axis, start in zip((2, 3), padding, strict=True):
        if start:
            made = edit.emit(node, aten.slice.Tensor, (made, axis, start, start + edit.shape(node)[axis]))
    return made


def _as_conv(
    program: ExportedProgram,
    node: torch.fx.Node,
    given: dict[str, Any],
    weight: torch.Tensor,
    numbers: tuple[tuple[int, int], ...],
) -> torch.fx.Node:
    import torch

    aten = torch.ops.aten
    stride, padding, more, dilation = numbers
    borders: list[int] = []
    for axis in (1, 0):  # the last one first, as `pad` wants it
        reach = dilation[axis] * (weight.shape[2 + axis] - 1)
        # Behind the last pixel there are zeros already.
        borders += [reach - padding[axis], reach - padding[axis] + more[axis] - (stride[axis] - 1)]
    groups = given.get("groups", 1)
    padded = edit.emit(node, aten.constant_pad_nd.default, (_apart(node, given["x"], stride), borders, 0.0))
    kernel = constants.add(program, f"{constants.name_for(node)}.turned", _turned(weight, groups))
    args = (padded, kernel, given.get("bias"), [1, 1], [0, 0], list(dilation), groups)
    return edit.emit(node, aten.conv2d.default, args, role="conv_transpose")


def _apart(node: torch.fx.Node, x: torch.fx.Node, stride: tuple[int, int]) -> torch.fx.Node:
    """(N, C, H, W) to (N, C, H * s, W * s): each pixel at the upper left of a tile of zeros."""
    import torch

    aten = torch.ops.aten
    batch, channels, height, width = edit.shape(x)
    across, down = stride[1], stride[0]
    if across > 1:
        x = edit.emit(node, aten.reshape.default, (x, [batch * channels, height, width, 1]))
        x = edit.emit(node, aten.constant_pad_nd.default, (x, [0, across - 1], 0.0))
    if down > 1:
        x = edit.emit(node, aten.reshape.default, (x, [batch * channels, height, 1, width * across]))
        x = edit.emit(node, aten.constant_pad_nd.default, (x, [0, 0, 0, down - 1], 0.0))
    return edit.emit(node, aten.reshape.default, (x, [batch, channels, height * down, width * across]))


def _turned(weight: torch.Tensor, groups: int) -> torch.Tensor:
    """(inputs, outputs / groups, kh, kw) to (outputs, inputs / groups, kh, kw), each kernel turned by 180 degrees."""
    inputs, outputs, *kernel = weight.shape
    parts = weight.reshape(groups, inputs // groups, outputs, *kernel).transpose(1, 2)
    return parts.reshape(groups * outputs, inputs // groups, *kernel).flip(2, 3)


def _pair(value: Any) -> tuple[int, int]:
    found = list(value) if isinstance(value, list | tuple) else [value]
    return int(found[0]), int(found[-1])


REWRITE = Rewrite(
    summary="Transposed convolutions in groups, dilated or cut off as slices and convolutions (TFLite).",
    order=226,
    apply=apply,
    targets=("tflite",),
)
