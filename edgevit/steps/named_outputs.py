"""Outputs of a model or a file on many images: kept by name, compared one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgevit.registries import METRICS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgevit.core.types import Floats

    Outputs = Mapping[str, Floats]

# Which of several values is the worst.
_WORST: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {"sqnr": min, "cosine": min, "max_abs": max}


def save(path: Path, outputs: Mapping[str, NDArray[np.generic]]) -> None:
    """Write outputs, each float32 (N, ...), or their labels, in their order."""
    import numpy as np

    with path.open("wb") as file:
        np.savez(file, **outputs)  # type: ignore[arg-type]  # its stub takes no mapping of arrays


def load(path: Path) -> dict[str, Floats]:
    """Read what `save` wrote."""
    import numpy as np

    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


def first(outputs: Outputs) -> Floats:
    """The logits of a classifier."""
    return next(iter(outputs.values()))


def named(name: str, outputs: Mapping[str, NDArray[np.generic]]) -> NDArray[np.generic]:
    """That output, or the first that holds numbers, since other tools call theirs as they like."""
    import numpy as np

    numbers = (value for value in outputs.values() if np.issubdtype(value.dtype, np.number))
    return outputs[name] if name in outputs else next(numbers, next(iter(outputs.values())))


def head(outputs: Outputs, count: int) -> dict[str, Floats]:
    """The first `count` images."""
    return {name: values[:count] for name, values in outputs.items()}


def worst(metric: str, reference: Outputs, candidate: Outputs) -> float:
    """`sqnr`, `cosine` or `max_abs` of the output that fares worst by it."""
    return _WORST[metric]([measure(metric, wanted, candidate[name]) for name, wanted in reference.items()])


def measure(metric: str, reference: Floats, candidate: Floats) -> float:
    """A metric of one output, float32 (N, ...) each."""
    n = len(reference)
    return float(METRICS.get(metric).compute(reference.reshape(n, -1), candidate.reshape(n, -1), None))
