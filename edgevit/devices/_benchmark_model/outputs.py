"""What a file computed there: benchmark_model's dump of the outputs, one after the other.

`OutputSaver` in tflite/tools/benchmark/benchmark_tflite_model.cc writes the bytes of each output tensor in the file's
order, after the last run, with no header.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgevit.core.errors import DeviceError
from edgevit.core.types import TensorSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def split(content: bytes, outputs: Sequence[TensorSpec], where: str) -> tuple[NDArray[np.generic], ...]:
    """Content of `--output_filepath` as one array for each output, in the file's own type, (batch, ...).

    Raises:
        DeviceError: it has another size.
    """
    import numpy as np

    sizes = [math.prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in outputs]
    if len(content) != sum(sizes):
        raise DeviceError(
            f"benchmark_model on {where} wrote {len(content):,} bytes of outputs, which take {sum(sizes):,}",
            "see whether the program given with --runner is Google's benchmark_model",
        )
    found, start = [], 0
    for spec, size in zip(outputs, sizes, strict=True):
        found.append(np.frombuffer(content[start : start + size], spec.dtype).reshape(spec.shape))
        start += size
    return tuple(found)
