"""Independent work of one process side by side: many small operations gain nothing from threads within each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def each(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """`function` of every item, in as many Python threads as PyTorch has, each with one of PyTorch's own."""
    import torch

    threads = torch.get_num_threads()
    if threads == 1 or len(items) < 2:
        return [function(item) for item in items]
    try:
        with ThreadPoolExecutor(
            min(threads, len(items)), initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            return list(pool.map(function, items))
    finally:
        torch.set_num_threads(threads)
