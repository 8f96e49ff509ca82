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
ROWS_PER_INPUT = 8
ROWS_PER_IMAGE = 512
BLOCK = 256


@dataclass(frozen=True, slots=True)
class InputMoments:
    """Of rows x of the float model and rows y of the quantized one, both with `inputs` elements.

    Attributes:
        rows: how many were seen.
        mean_float, mean: means of x and y, float64 (groups, inputs).
        hessian: mean of (y - mean)(y - mean)^T, float64 (groups, inputs, inputs).
        shift: W times the mean of (x - y - their mean)(y - mean)^T, float64 (groups, outputs, inputs): what the
            layer's output lost before the layer, as far as its inputs tell.
    """

    rows: int
    mean_float: torch.Tensor
    mean: torch.Tensor
    hessian: torch.Tensor
    shift: torch.Tensor


def measure(
    node: torch.fx.Node,
    float_input: torch.Tensor,
    planned_input: torch.Tensor,
    weight: torch.Tensor,
    groups: int,
    rounded: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> InputMoments:
    """InputMoments of what a linear layer or convolution multiplies its weights with.

    Args:
        node: a linear or conv2d of the program.
        float_input, planned_input: (N, 1, ...).
        weight: of the float layer, float32 (out channels, ...); a row has as many elements as one of its rows.
        groups: of the convolution, 1 for a linear layer.
        rounded: what the kernel makes of `planned_input`, (images, 1, ...) -> the same; None leaves it.
    """
    import torch

    rows_of = weight.detach().float().reshape(groups, -1, math.prod(weight.shape[1:]))
    outputs, inputs = rows_of.shape[1:]
    # E[W d y^T] either as (W d) y^T or as W (d y^T), whichever takes fewer products.
    early = 2 * outputs < inputs
    count, total = 0, max(ROWS, ROWS_PER_INPUT * inputs)
    positions = math.prod(node.meta["val"].shape) // int(_weight(node).shape[0])
    if node.target is torch.ops.aten.linear.default:
        positions = planned_input[0].numel() // inputs  # of which some rows may have been left out
    few = min(len(float_input), -(-total // min(positions, ROWS_PER_IMAGE)))
    chosen_images = torch.arange(few) * len(float_input) // few
    most = -(-total // few)
    same = planned_input is float_input and rounded is None
    generator = torch.Generator().manual_seed(0)
    sums = [torch.zeros(groups, inputs, dtype=torch.float64) for _ in range(2)]
    own = torch.zeros(groups, inputs, inputs, dtype=torch.float64)
    both = torch.zeros(groups, outputs if early else inputs, inputs, dtype=torch.float64)
    start: torch.Tensor | None = None
    for part in chosen_images.split(CHUNK):
        y = _rows(node, _as_read(planned_input[part], rounded), groups, inputs)
        x = y if same else _rows(node, float_input[part], groups, inputs)
        if y.shape[2] > most:
            chosen = torch.randperm(y.shape[2], generator=generator)[:most]
            y = y[:, :, chosen]
            x = y if same else x[:, :, chosen]
        y = y.flatten(1, 2)
        lost = None if same else x.flatten(1, 2) - y
        if start is None:
            # Products of what is left are no larger than the moments; else a mean far from zero drowns them.
            start = y.mean(1, keepdim=True)
        y = y - start
        count += y.shape[1]
        sums[1] += y.sum(1, dtype=torch.float64)
        own += _gram(y)
        if lost is not None:
            sums[0] += lost.sum(1, dtype=torch.float64)
            both += (lost @ rows_of.transpose(1, 2) if early else lost).transpose(1, 2) @ y
    assert start is not None, "no images"
    mean_lost, mean = (s / count for s in sums)
    hessian = own / count - mean[:, :, None] * mean[:, None, :]
    wide = rows_of.double()
    shift = both / count if early else wide @ (both / count)
    shift -= (wide @ mean_lost[:, :, None]) * mean[:, None, :]
    mean = mean + start[:, 0].double()
    return InputMoments(count, mean + mean_lost, mean, hessian, shift)


def _gram(rows: torch.Tensor) -> torch.Tensor:
    """Sum of y y^T over the rows y, float32 (groups, rows, inputs) -> (groups, inputs, inputs).

    The product is symmetric: wide ones are computed above the diagonal, in blocks, and mirrored.
    """
    inputs = rows.shape[-1]
    found = rows.new_empty(len(rows), inputs, inputs)
    for start in range(0, inputs, BLOCK):
        stop = start + BLOCK
        found[:, start:stop, start:] = rows[..., start:stop].transpose(1, 2) @ rows[..., start:]
        found[:, stop:, start:stop] = found[:, start:stop, stop:].transpose(1, 2)
    return found


def _as_read(value: torch.Tensor, rounded: Callable[[torch.Tensor], torch.Tensor] | None) -> torch.Tensor:
    return value if rounded is None else rounded(value)


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
