"""What a layer's inputs look like, as far as rounding its weights needs it: means and second moments."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

CHUNK = 16
# More rows than that say nothing new about moments, and on large maps there would be half a million.
ROWS = 16384
ROWS_PER_INPUT = 32
ROWS_PER_IMAGE = 512


@dataclass(frozen=True, slots=True)
class InputMoments:
    """Of rows x of the float model and rows y of the quantized one, both with `inputs` elements.

    Attributes:
        rows: how many were seen.
        mean_float, mean: means of x and y, float64 (groups, inputs).
        hessian: mean of (y - mean)(y - mean)^T, float64 (groups, inputs, inputs).
        cross: mean of (x - mean_float)(y - mean)^T, of the same shape.
    """

    rows: int
    mean_float: torch.Tensor
    mean: torch.Tensor
    hessian: torch.Tensor
    cross: torch.Tensor


def measure(
    node: torch.fx.Node,
    float_input: torch.Tensor,
    planned_input: torch.Tensor,
    groups: int,
    inputs: int,
    rounded: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> InputMoments:
    """InputMoments of what a linear layer or convolution multiplies its weights with.

    Args:
        node: a linear or conv2d of the program.
        float_input, planned_input: (N, 1, ...).
        groups: of the convolution, 1 for a linear layer.
        inputs: elements of a row: input channels of one group, times the kernel's positions.
        rounded: what the kernel makes of `planned_input`, (images, 1, ...) -> the same; None leaves it.
    """
    import torch

    sums = [torch.zeros(groups, inputs, dtype=torch.float64) for _ in range(2)]
    products = [torch.zeros(groups, inputs, inputs, dtype=torch.float64) for _ in range(2)]
    count, total = 0, max(ROWS, ROWS_PER_INPUT * inputs)
    positions = math.prod(node.meta["val"].shape) // int(_weight(node).shape[0])
    few = min(len(float_input), -(-total // min(positions, ROWS_PER_IMAGE)))
    chosen_images = torch.arange(few) * len(float_input) // few
    most = -(-total // few)
    same = planned_input is float_input and rounded is None
    generator = torch.Generator().manual_seed(0)
    start: tuple[torch.Tensor, torch.Tensor] | None = None
    for part in chosen_images.split(CHUNK):
        x = _rows(node, float_input[part], groups, inputs)
        y = x
        if not same:
            planned = planned_input[part]
            y = _rows(node, planned if rounded is None else rounded(planned), groups, inputs)
        if x.shape[2] > most:
            chosen = torch.randperm(x.shape[2], generator=generator)[:most]
            x = x[:, :, chosen]
            y = x if same else y[:, :, chosen]
        x = x.flatten(1, 2)
        y = x if same else y.flatten(1, 2)
        if start is None:
            # Products of what is left are no larger than the moments; else a mean far from zero drowns them.
            start = x.mean(1, keepdim=True), y.mean(1, keepdim=True)
        x = x - start[0]
        y = x if same else y - start[1]
        count += x.shape[1]
        sums[0] += x.mean(1).double() * x.shape[1]
        sums[1] += y.mean(1).double() * x.shape[1]
        transposed = y.transpose(1, 2)
        own = transposed @ y
        products[0] += own
        products[1] += own if same else x.transpose(1, 2) @ y
    mean_float, mean = (s / count for s in sums)
    hessian = products[0] / count - mean[:, :, None] * mean[:, None, :]
    cross = products[1] / count - mean_float[:, :, None] * mean[:, None, :]
    assert start is not None, "no images"
    return InputMoments(
        count, mean_float + start[0][:, 0].double(), mean + start[1][:, 0].double(), hessian, cross
    )


def _rows(node: torch.fx.Node, value: torch.Tensor, groups: int, inputs: int) -> torch.Tensor:
    """(N, 1, ...) -> float32 (groups, N, rows of an image, inputs)."""
    import torch

    if node.target is torch.ops.aten.linear.default:
        return value.reshape(1, len(value), -1, inputs)
    flat = value.flatten(0, 1)
    kernel = tuple(int(n) for n in _weight(node).shape[2:])
    stride, dilation = _pair(node, 3, 1), _pair(node, 5, 1)
    padding = _padding(node, kernel, dilation)
    if kernel == (1, 1) and padding == (0, 0):
        patches = flat[:, :, :: stride[0], :: stride[1]].flatten(2)
    else:
        patches = torch.nn.functional.unfold(flat, kernel, dilation=dilation, padding=padding, stride=stride)
    split = patches.reshape(len(flat), groups, inputs, -1)
    return split.permute(1, 0, 3, 2)


def _weight(node: torch.fx.Node) -> Any:
    weight: Any = node.args[1]
    return weight.meta["val"]


def _pair(node: torch.fx.Node, index: int, default: int) -> tuple[int, int]:
    found: Any = node.args[index] if len(node.args) > index else default
    values = tuple(found) if isinstance(found, list | tuple) else (found,)
    return (int(values[0]), int(values[-1]))


def _padding(node: torch.fx.Node, kernel: tuple[int, ...], dilation: tuple[int, int]) -> tuple[int, int]:
    """On each side; PyTorch has it as numbers or as a word, `same` being even on both sides of odd kernels."""
    given: Any = node.args[4] if len(node.args) > 4 else 0
    if given == "same":
        return (dilation[0] * (kernel[0] - 1) // 2, dilation[1] * (kernel[1] - 1) // 2)
    return (0, 0) if given == "valid" else _pair(node, 4, 0)
