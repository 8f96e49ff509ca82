"""Reshapes and permutations as one reordering of axis factors, and the fewest steps of rank 4 that do it.

A chain of reshapes and permutations only reorders elements. Written with the factors of the source's
row-major index, it is one permutation: (1, 14, 14, C) -> windows of 7 is (2, 7, 2, 7*C) -> (2, 2, 7, 7*C).
Axes of size 1 are no factors, and neighbours that stay neighbours are one, so that few chains need more
than four.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

MAX_RANK = 4
Step = tuple[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the elements of a tensor come from.

    Attributes:
        sizes: factors of the source's row-major index, outermost first, none of size 1.
        dims: for each axis of the result, the factors (positions in `sizes`) that it is made of.
    """

    sizes: tuple[int, ...]
    dims: tuple[tuple[int, ...], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result."""
        return tuple(math.prod(self.sizes[i] for i in dim) for dim in self.dims)

    @property
    def order(self) -> tuple[int, ...]:
        """All factors in the order of the result."""
        return tuple(i for dim in self.dims for i in dim)


def identity(shape: Sequence[int]) -> Layout:
    """The layout of the source itself."""
    sizes = tuple(n for n in shape if n != 1)
    position = iter(range(len(sizes)))
    return Layout(sizes, tuple(() if n == 1 else (next(position),) for n in shape))


def permuted(layout: Layout, axes: Sequence[int]) -> Layout:
    """The layout after `permute(axes)`."""
    return Layout(layout.sizes, tuple(layout.dims[i] for i in axes))


def reshaped(layout: Layout, shape: Sequence[int]) -> Layout | None:
    """The layout after `reshape(shape)`; None if an axis would cut a factor unevenly."""
    dims: list[tuple[int, ...]] = []
    sizes, order = layout.sizes, list(layout.order)
    at = 0
    for wanted in shape:
        dim: list[int] = []
        while wanted > 1:
            factor = sizes[order[at]]
            if wanted % factor and factor % wanted:
                return None
            if factor > wanted:
                cut = order[at]
                sizes = (*sizes[:cut], wanted, factor // wanted, *sizes[cut + 1 :])
                order = [i + (i > cut) for i in order]
                order.insert(at + 1, cut + 1)
                dims = [tuple(i + (i > cut) for i in d) for d in dims]
                dim = [i + (i > cut) for i in dim]
                factor = wanted
            dim.append(order[at])
            wanted //= factor
            at += 1
        dims.append(tuple(dim))
    return Layout(sizes, tuple(dims))


def merged(layout: Layout, within_axes: bool = False) -> Layout:
    """The same with factors that are neighbours before and after as one factor.

    Args:
        within_axes: merge only inside an axis of the result; else the result is one axis per factor.
    """
    groups = layout.dims if within_axes else (layout.order,)
    runs = [tuple(_runs(dim)) for dim in groups]
    first = sorted(run[0] for dim in runs for run in dim)
    place = {start: index for index, start in enumerate(first)}
    size = {run[0]: math.prod(layout.sizes[i] for i in run) for dim in runs for run in dim}
    dims = tuple(tuple(place[run[0]] for run in dim) for dim in runs)
    sizes = tuple(size[start] for start in first)
    return Layout(sizes, dims if within_axes else tuple((i,) for i in dims[0]))


def steps(source: Sequence[int], layout: Layout, result: Sequence[int]) -> tuple[Step, ...]:
    """The fewest reshapes and permutations of rank 4 at most from a tensor of shape `source` to `result`.

    A permutation of rank 4 is preferred to one of lower rank: next to a convolution it is the change
    between channels first and channels last, which cancels against the converter's own.
    """
    source, result = tuple(source), tuple(result)
    small = merged(layout)
    sizes, order = small.sizes, small.order
    if order == tuple(range(len(order))):
        return () if source == result else (("reshape", result),)
    found: list[tuple[Step, ...]] = []
    if len(source) <= MAX_RANK and _fits(source, sizes):
        found.append(_from_source(source, sizes, order, result))
    if len(result) <= MAX_RANK and _fits(result, [sizes[i] for i in order]):
        found.append(_to_result(source, sizes, order, result))
    if found:
        return min(found, key=lambda s: (len(s), -max(len(v) for kind, v in s if kind == "permute")))
    return _through_blocks(source, sizes, order, result)


def permutations_in(found: tuple[Step, ...]) -> int:
    """How many of the steps move data."""
    return sum(kind == "permute" for kind, _ in found)


def _runs(order: Sequence[int]) -> Iterator[tuple[int, ...]]:
    run: list[int] = []
    for i in order:
        if run and i != run[-1] + 1:
            yield tuple(run)
            run = []
        run.append(i)
    if run:
        yield tuple(run)


def _fits(shape: Sequence[int], sizes: Sequence[int]) -> bool:
    """Whether every boundary between factors is one between axes."""
    ends = set(itertools.accumulate(shape, lambda a, b: a * b))
    return all(end in ends for end in itertools.accumulate(sizes, lambda a, b: a * b))


def _axes_of(shape: Sequence[int], sizes: Sequence[int]) -> list[list[int]]:
    """For each factor the axes that it consists of; axes of size 1 are left out."""
    axes: list[list[int]] = []
    position = 0
    for size in sizes:
        mine: list[int] = []
        while size > 1:
            if shape[position] > 1:
                mine.append(position)
                size //= shape[position]
            position += 1
        axes.append(mine)
    return axes


def _with_units(shape: Sequence[int], moved: Sequence[int], wanted: Sequence[int]) -> tuple[int, ...]:
    """The permutation of `shape` with its long axes as `moved`; its axes of 1 where `wanted` has them."""
    units = [i for i, n in enumerate(shape) if n == 1]
    long = iter(moved)
    if tuple(n for n in wanted if n != 1) == tuple(shape[i] for i in moved) and len(wanted) == len(shape):
        free = iter(units)
        return tuple(next(free) if n == 1 else next(long) for n in wanted)
    return (*units, *moved)


def _from_source(
    source: tuple[int, ...], sizes: Sequence[int], order: Sequence[int], result: tuple[int, ...]
) -> tuple[Step, ...]:
    axes = _axes_of(source, sizes)
    moved = [axis for factor in order for axis in axes[factor]]
    permutation = _with_units(source, moved, result)
    after = tuple(source[i] for i in permutation)
    first: Step = ("permute", permutation)
    return (first,) if after == result else (first, ("reshape", result))


def _to_result(
    source: tuple[int, ...], sizes: Sequence[int], order: Sequence[int], result: tuple[int, ...]
) -> tuple[Step, ...]:
    inverse = [order.index(i) for i in range(len(order))]
    # What undoes it, read backwards: permuting the result's own axes gives the shape to start from.
    back = _from_source(result, [sizes[i] for i in order], inverse, source)
    kind, undo = back[0]
    assert kind == "permute"
    start = tuple(result[i] for i in undo)
    permutation = tuple(undo.index(i) for i in range(len(undo)))
    last: Step = ("permute", permutation)
    return (last,) if start == source else (("reshape", start), last)


def _through_blocks(
    source: tuple[int, ...], sizes: Sequence[int], order: tuple[int, ...], result: tuple[int, ...]
) -> tuple[Step, ...]:
    """Reshape to blocks of factors, permute these, as often as it takes; then reshape to the result."""
    found: list[Step] = []
    current = source
    arrangement = tuple(range(len(sizes)))
    for blocks, moved in _moves(order):
        shape = tuple(math.prod(sizes[arrangement[i]] for i in block) for block in blocks)
        lead = 1 if len(shape) < MAX_RANK and source[:1] == (1,) else 0
        shape = (1,) * lead + shape
        if shape != current:
            found.append(("reshape", shape))
        permutation = (*range(lead), *(m + lead for m in moved))
        found.append(("permute", permutation))
        current = tuple(shape[i] for i in permutation)
        arrangement = tuple(arrangement[i] for m in moved for i in blocks[m])
    if current != result:
        found.append(("reshape", result))
    return tuple(found)


Move = tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]
# The search over arrangements grows with their factorial; above, one good step after the other is taken.
_SEARCHED = 6


@lru_cache(maxsize=1024)
def _moves(order: tuple[int, ...]) -> tuple[Move, ...]:
    """Permutations of at most four blocks each that arrange 0..n-1 as `order`.

    The fewest for up to six factors. For more, each step leaves as few neighbours as it can that are
    none in `order`; moving one block behind its predecessor always gains one, so it comes to an end.
    """
    start = tuple(range(len(order)))
    return _fewest(start, order) if len(order) <= _SEARCHED else _greedy(start, order)


def _after(state: tuple[int, ...], move: Move) -> tuple[int, ...]:
    blocks, moved = move
    return tuple(state[i] for m in moved for i in blocks[m])


def _greedy(state: tuple[int, ...], order: tuple[int, ...]) -> tuple[Move, ...]:
    follows = dict(zip((-1, *order), (*order, -1), strict=True))

    def torn(arrangement: tuple[int, ...]) -> int:
        return sum(follows[a] != b for a, b in itertools.pairwise((-1, *arrangement, -1)))

    taken: list[Move] = []
    while state != order:
        best = min(_single_moves(len(order)), key=lambda move: torn(_after(state, move)))
        taken.append(best)
        state = _after(state, best)
    return tuple(taken)


def _fewest(start: tuple[int, ...], order: tuple[int, ...]) -> tuple[Move, ...]:
    reached: dict[tuple[int, ...], tuple[Move, ...]] = {start: ()}
    frontier = [start]
    while order not in reached:
        grown: list[tuple[int, ...]] = []
        for state in frontier:
            for move in _single_moves(len(order)):
                after = _after(state, move)
                if after not in reached:
                    reached[after] = (*reached[state], move)
                    grown.append(after)
        frontier = grown
    return reached[order]


@lru_cache(maxsize=16)
def _single_moves(count: int) -> tuple[Move, ...]:
    """All of them, those that leave the innermost block in place first: they copy in longer runs."""
    moves: list[Move] = []
    for parts in range(2, MAX_RANK + 1):
        for cuts in itertools.combinations(range(1, count), parts - 1):
            edges = (0, *cuts, count)
            blocks = tuple(tuple(range(a, b)) for a, b in itertools.pairwise(edges))
            moves += [(blocks, moved) for moved in itertools.permutations(range(parts))]
    return tuple(sorted(moves, key=lambda m: (m[1][-1] != len(m[0]) - 1, len(m[0]))))
