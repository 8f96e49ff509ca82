"""Execute one file in several processes, each on some of the images: for an emulator, which takes a second for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final

from edgevit.steps import named_outputs
from edgevit.steps.messages import Executed, ImageRange

# Each process opens the file for itself, which an emulator takes as long for as for some images.
LEAST: Final = 16


def split(images: int, processes: int) -> tuple[ImageRange, ...]:
    """All images in order, in about equal parts of at least `LEAST`, or in one; at most one part for each process."""
    parts = max(1, min(processes, images // LEAST))
    borders = [images * index // parts for index in range(parts + 1)]
    return tuple(ImageRange(a, b - a) for a, b in pairwise(borders))


def join(work: Path, parts: Sequence[tuple[Executed, ...]]) -> tuple[Executed, ...]:
    """What the processes gave, in the order of the images, as if it were of one.

    Args:
        work: the folder with their outputs, which gets those of all images.
        parts: of each process the same files.
    """
    return tuple(_join(work, of_one) for of_one in zip(*parts, strict=True))


def _join(work: Path, parts: Sequence[Executed]) -> Executed:
    import numpy as np

    first = next((part for part in parts if part.error or part.refused), parts[0])
    if first.outputs is None or len(parts) == 1:
        return first
    outputs = [named_outputs.load(work / part.outputs) for part in parts if part.outputs is not None]
    named_outputs.save(
        work / first.outputs,
        {name: np.concatenate([values[name] for values in outputs]) for name in outputs[0]},
    )
    seconds = max(part.seconds for part in parts)
    return replace(first, seconds=seconds, images=sum(part.images or 0 for part in parts))
