"""Write average pooling as TFLite has it: zeros around the image, whole windows, a correction at the edges.

PyTorch divides the sum of a window by n, which is a fixed divisor, or the window's size, or the number of its pixels
that lie in the image (`count_include_pad`, `divisor_override`,
https://docs.pytorch.org/docs/stable/generated/torch.nn.AvgPool2d.html). TFLite divides by the pixels in the image.

    y[n, c, i, j] = TFLite's average of the padded image * f[i, j],    f = (kh kw) / n(i, j), (1, rows, columns, 1)

1. Nothing is read beyond the edge and no divisor is given: TFLite's own operator, no correction.
2. Stride 1, padding of half a kernel, zeros not counted: TFLite's SAME padding, which counts the same way.
3. Otherwise zeros are put around the image, windows that only reach them are cut off, and f corrects the edges. It is
   multiplied channels last, where TFLite keeps images, so that no permutation is left.

Exact up to rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgevit.core.plugins import Rewrite
from edgevit.program import constants, edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """avg(x) = sum(window) / n, with n as the model counts it: zeros or not, or a fixed divisor.

    Without padding and without a part of a window, pooling is TFLite's own operator.
    """
    import torch

    aten = torch.ops.aten
    changed = 0
    for node in list(program.graph_module.graph.nodes):
        if node.target is not aten.avg_pool2d.default or len(edit.shape(node.args[0])) != 4:
            continue
        given = edit.bound(
            node, ("x", "kernel", "stride", "padding", "ceil_mode", "count_include_pad", "divisor")
        )
        kernel = _pair(given["kernel"])
        stride = _pair(given.get("stride") or kernel)
        padding = _pair(given.get("padding", 0))
        size, result = edit.shape(given["x"])[2:], edit.shape(node)[2:]
        # Behind the image: what the last window reads, never less than nothing.
        behind = [
            max(0, (r - 1) * s + k - n - p)
            for r, s, k, n, p in zip(result, stride, kernel, size, padding, strict=True)
        ]
        if not any(padding) and not any(behind) and not given.get("divisor"):
            # Nothing is beyond the edge: how that would count is no question, but litert-torch writes further
            # subgraphs where it is asked.
            if len(node.args) > 3 or node.kwargs:
                node.args, node.kwargs = (given["x"], list(kernel), list(stride)), {}
                changed += 1
            continue
        if stride == (1, 1) and _is_same(kernel, padding) and not _counts_zeros(given):
            continue  # TFLite's SAME padding, which does not count zeros either
        made = given["x"]
        if any(padding) or any(behind):
            around = [padding[1], behind[1], padding[0], behind[0]]
            made = edit.emit(node, aten.constant_pad_nd.default, (made, around, 0.0))
        made = edit.emit(node, aten.avg_pool2d.default, (made, list(kernel), list(stride)))
        if edit.shape(made) != edit.shape(node):
            made = _cut(node, made)
        factor = _factor(size, kernel, stride, padding, result, given)
        if not bool((factor == 1).all()):
            held = constants.add(program, f"{constants.name_for(node)}.correction", factor)
            # Channels last, as TFLite's operator leaves it: the permutations cancel.
            made = edit.emit(node, aten.permute.default, (made, [0, 2, 3, 1]))
            made = edit.emit(node, aten.mul.Tensor, (made, held))
            made = edit.emit(node, aten.permute.default, (made, [0, 3, 1, 2]))
        edit.replace(program, node, made)
        changed += 1
    return changed


def _cut(node: torch.fx.Node, made: torch.fx.Node) -> torch.fx.Node:
    """Leave out windows that only more padding than the model's reaches."""
    import torch

    for axis in (2, 3):
        if edit.shape(made)[axis] != edit.shape(node)[axis]:
            cut = (made, axis, 0, edit.shape(node)[axis])
            made = edit.emit(node, torch.ops.aten.slice.Tensor, cut)
    return made


def _factor(
    size: tuple[int, ...],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    result: tuple[int, ...],
    given: dict[str, Any],
) -> torch.Tensor:
    """float32 (1, rows, columns, 1): a window's size by what PyTorch divides its sum by."""
    import torch

    whole = kernel[0] * kernel[1]
    if given.get("divisor"):
        return torch.full((1, *result, 1), whole / given["divisor"])
    counts = []
    for n, k, s, p, r in zip(size, kernel, stride, padding, result, strict=True):
        start = torch.arange(r, dtype=torch.float64) * s - p
        end = torch.clamp(start + k, max=n + p)
        if not _counts_zeros(given):
            start, end = start.clamp(min=0), end.clamp(max=n)
        counts.append(end - start)
    return (whole / (counts[0][:, None] * counts[1])).float().reshape(1, *result, 1)


def _counts_zeros(given: dict[str, Any]) -> bool:
    return bool(given.get("count_include_pad", True)) or bool(given.get("divisor"))


def _is_same(kernel: tuple[int, int], padding: tuple[int, int]) -> bool:
    return all(k == 2 * p + 1 for k, p in zip(kernel, padding, strict=True))


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return (value[0], value[0]) if len(value) == 1 else (value[0], value[1])


REWRITE = Rewrite(
    summary="Write average pooling as zeros around the image, whole windows and a correction (TFLite).",
    order=230,
    apply=apply,
    targets=("tflite",),
)
