"""What every runner does with its images: check them before, and stack their outputs after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core.errors import InputError
from edgevit.core.types import Preprocess

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgevit.core.types import Pixels


def size_of(preprocess: Preprocess) -> tuple[int, int, int]:
    """(height, width, channels) of an image that is ready for the model."""
    return preprocess.height, preprocess.width, preprocess.channels


def check_images(pixels: Pixels, size: tuple[int, ...], path: Path, count: int | None = None) -> None:
    """Hold what was given against what the file takes: `count` images of `size` = (height, width, channels).

    Raises:
        InputError: none at all, or another type, size or number.
    """
    import numpy as np

    wanted = (len(pixels) if count is None else count, *size)
    if pixels.dtype != np.uint8 or pixels.shape != wanted:
        raise InputError(
            f"{path} takes images uint8 {wanted}, got {pixels.dtype} {pixels.shape}",
            "give pixels of the size and channels that the file's preprocessing names",
        )
    if not len(pixels):
        raise InputError(f"no image was given to {path}", "give at least one")


def check_size(size: Sequence[int | str], preprocess: Preprocess, path: Path) -> None:
    """Raise InputError where the file takes other images, (height, width, channels), than preprocessing gives.

    Args:
        size: as the file says it; a size that is not fixed is a name.
    """
    wanted = size_of(preprocess)
    if any(isinstance(n, int) and n != m for n, m in zip(size, wanted, strict=True)):
        several = "" if size[2] == wanted[2] else f" of {size[2]} channels"
        given = "" if size[2] == wanted[2] else f" of {wanted[2]}"
        raise InputError(
            f"{path} takes {size[0]}x{size[1]} images{several}, but its preprocessing gives "
            f"{wanted[0]}x{wanted[1]}{given}",
            "mend edgevit.preprocess in its metadata, or convert it again",
        )


def stack(rows: Mapping[str, Sequence[NDArray[np.generic]]]) -> dict[str, NDArray[np.generic]]:
    """Values of single images to (N, ...).

    The batch axis of 1 goes; a tensor that has none (folded windows, say) keeps its shape.
    """
    import numpy as np

    return {
        name: np.stack([v[0] if v.ndim and v.shape[0] == 1 else v for v in found])
        for name, found in rows.items()
    }


def of_one(value: NDArray[np.generic], batch: int) -> NDArray[np.generic]:
    """The part of one image in a tensor of a file that got the same image `batch` times.

    The batch is the slowest part of some axis, so that along it the tensor repeats itself; one that does not depend on
    the images comes as it is.
    """
    import numpy as np

    for axis, size in enumerate(value.shape):
        if size % batch:
            continue
        parts: list[NDArray[np.generic]] = np.split(value, batch, axis=axis)
        if all(np.array_equal(parts[0], part, equal_nan=value.dtype.kind == "f") for part in parts[1:]):
            return parts[0]
    return value
