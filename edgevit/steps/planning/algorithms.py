"""Which algorithms decide, by name."""

from __future__ import annotations

from typing import TypeVar

from edgevit.core.plugins import Algorithm, Fold
from edgevit.registries import ALGORITHMS

RANGE = "output_aware"
ROUNDING = "gptq"
CLUSTERING = "kmeans"

T = TypeVar("T", bound=Algorithm)


def folds() -> tuple[str, ...]:
    """The names of all folds."""
    return tuple(name for name in ALGORITHMS.names() if isinstance(ALGORITHMS.get(name), Fold))


def find(name: str, kind: type[T]) -> T:
    """The algorithm of that name.

    Raises:
        TypeError: it is of another kind.
    """
    found = ALGORITHMS.get(name)
    if not isinstance(found, kind):
        raise TypeError(f"the algorithm {name} is no {kind.__name__}")
    return found
