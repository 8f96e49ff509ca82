"""Independent work of one process side by side: many small operations gain nothing from threads within each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Each(Protocol):
    """Calls a function with every item, and gives the results in order."""

    def __call__(self, function: Callable[[T], R], items: Sequence[T], /) -> list[R]:
        """`function` of each of `items`."""
        ...


@contextmanager
def side_by_side(most: int) -> Iterator[Each]:
    """Python threads for up to `most` items, as many as PyTorch has, each with one of PyTorch's own."""
    import torch

    threads = torch.get_num_threads()
    if threads == 1 or most < 2:
        yield lambda function, items: [function(item) for item in items]
        return
    try:
        with ThreadPoolExecutor(min(threads, most), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield lambda function, items: list(pool.map(function, items))
    finally:
        torch.set_num_threads(threads)


def each(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """`function` of every item, side by side."""
    with side_by_side(len(items)) as call:
        return call(function, items)
