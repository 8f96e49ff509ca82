"""Which axis of a file's tensor is which axis of PyTorch's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate, permutations
from operator import mul
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Shape = tuple[int, ...]
_MOST_AXES = 6


@dataclass(frozen=True, slots=True)
class ImageAxes:
    """PyTorch's shape, and the order in which the file holds its axes."""

    shape: Shape
    order: tuple[int, ...]

    def read(self, tensor: torch.Tensor) -> torch.Tensor:
        """The file's tensor, any shape of as many elements, as PyTorch's."""
        stored = tensor.reshape([self.shape[axis] for axis in self.order])
        back = [self.order.index(axis) for axis in range(len(self.shape))]
        return stored.permute(back).contiguous()


def layouts(found: Shape, wanted: Shape) -> tuple[ImageAxes, ...]:
    """The ways to read a tensor of shape `found` as one of shape `wanted`; empty if the sizes differ.

    Equal shapes, axes of size 1 aside, are read as they are: to try transpositions would hide a
    product whose factors are swapped. Else one axis has been moved (channels to the end), else any
    order that fits. A shape with merged axes is read in each order of one moved axis that fits.
    """
    if math.prod(found) != math.prod(wanted):
        return ()
    axes = [axis for axis, size in enumerate(wanted) if size > 1]
    ones = [axis for axis, size in enumerate(wanted) if size == 1]
    have = [size for size in found if size > 1]

    def made(order: tuple[int, ...]) -> ImageAxes:
        return ImageAxes(wanted, (*ones, *order))

    same = tuple(axes)
    moved = _moved(same)
    if [wanted[axis] for axis in axes] == have:
        square = len(wanted) == 4 and len(axes) == 3 and len(set(have)) == 1
        return (made(same), made((*same[1:], same[0]))) if square else (made(same),)
    orders = [order for order in moved if [wanted[axis] for axis in order] == have]
    if not orders and len(axes) <= _MOST_AXES:
        orders = [order for order in permutations(axes) if [wanted[axis] for axis in order] == have]
    if not orders:
        orders = [order for order in (same, *moved) if _nested([wanted[axis] for axis in order], have)]
    return tuple(made(order) for order in orders or [same])


def _moved(axes: tuple[int, ...]) -> list[tuple[int, ...]]:
    """All orders in which one axis has another place."""
    orders = []
    for axis in axes:
        rest = [other for other in axes if other != axis]
        for place in range(len(axes)):
            orders.append((*rest[:place], axis, *rest[place:]))
    return [order for order in dict.fromkeys(orders) if order != axes]


def _nested(first: list[int], second: list[int]) -> bool:
    """Whether one shape comes from the other by merging neighbouring axes."""
    one, two = (set(accumulate(sizes, mul)) for sizes in (first, second))
    return one <= two or two <= one
