"""The header of a NumPy array, read without the array."""

from __future__ import annotations

from typing import IO


def array_shape(file: IO[bytes]) -> tuple[int, ...]:
    """Of an array in NumPy's format at the beginning of `file`.

    Raises:
        ValueError: it is not one.
    """
    import numpy as np

    old = np.lib.format.read_magic(file) == (1, 0)
    read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
    return tuple(map(int, read(file)[0]))
