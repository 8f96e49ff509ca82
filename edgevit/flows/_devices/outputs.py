"""What a device gave, as the reference has it: arrays by name, of real numbers."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core.errors import DeviceError, UnsupportedError
from edgevit.core.runner import DeviceFile
from edgevit.steps import named_outputs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgevit.core.types import Floats


def joined(name: str, parts: Sequence[Floats]) -> Floats:
    """One output of several chunks.

    Raises:
        DeviceError: it has another shape in one of them.
    """
    import numpy as np

    if len({part.shape[1:] for part in parts}) != 1:
        raise DeviceError(
            f"{name} came in shapes {sorted({part.shape[1:] for part in parts})}", "run it again"
        )
    return np.concatenate(parts)


def named_outputs_of(file: DeviceFile, path: Path, wanted: Sequence[str]) -> dict[str, Floats]:
    """The outputs `wanted` of one chunk; a file of another tool may call its one output as it likes.

    Raises:
        DeviceError: as `read_outputs`.
        UnsupportedError: an output is missing.
    """
    import numpy as np

    named = read_outputs(file, path)
    if len(wanted) == 1:
        named[wanted[0]] = named_outputs.named(wanted[0], named)
    lacking = [name for name in wanted if name not in named]
    if lacking:
        raise UnsupportedError(
            f"the file has no output {', '.join(lacking)}; it has {', '.join(named)}",
            "give the model that it was made from with --reference",
        )
    return {name: np.asarray(named[name], np.float32) for name in wanted}


def read_outputs(file: DeviceFile, path: Path) -> dict[str, NDArray[np.generic]]:
    """Outputs of one chunk by name, each (N, ...), as real numbers.

    Raises:
        DeviceError: the device gave something else than the file's outputs.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = [stored[key] for key in stored.files]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DeviceError(f"outputs of a device cannot be read: {error}", "run it again") from error
    if len(arrays) != len(file.outputs):
        raise DeviceError(
            f"a device gave {len(arrays)} outputs of a file that has {len(file.outputs)}", "run it again"
        )
    named: dict[str, NDArray[np.generic]] = {}
    for output, value in zip(file.outputs, arrays, strict=True):
        named[output.name] = value
        if output.scale is not None:
            named[output.name] = (value.astype(np.int32) - output.zero_point) * np.float32(output.scale)
    return named
