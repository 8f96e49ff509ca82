"""Which algorithms decide, by name."""

from __future__ import annotations

from typing import TypeVar

from edgevit.core.plugins import Algorithm
from edgevit.registries import ALGORITHMS

RANGE = "output_aware"
ROUNDING = "gptq"
CLUSTERING = "kmeans"

T = TypeVar("T", bound=Algorithm)


def find(name: str, kind: type[T]) -> T:
    """The algorithm of that name.

    Raises:
        TypeError: it is of another kind.
    """
    found = ALGORITHMS.get(name)
    if not isinstance(found, kind):
        raise TypeError(f"the algorithm {name} is no {kind.__name__}")
    return found
