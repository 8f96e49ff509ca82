"""Every computed tensor of a .tflite file, with the site that its name begins with."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from edgevit.core.disk.reading import reads
from edgevit.core.runner import FileValue
from edgevit.formats import tflite_file

_INTEGERS: Final = ("int8", "uint8", "int16")


@reads("TFLite file", tflite_file.AGAIN)
def read(path: Path) -> tuple[FileValue, ...]:
    """In execution order, what depends on the input. Nothing is executed.

    litert-torch calls a tensor after the last module's class and puts `;` and a number behind it; a
    file of ours has the site there. Several tensors of one name are tapped by their index.

    Raises:
        InputError: missing or not TFLite.
    """
    file = tflite_file.read(path)
    made: list[int] = []
    depends = set(file.inputs)
    for operator in file.operators:
        if depends & set(operator.inputs):
            made += operator.outputs
            depends.update(operator.outputs)
    names = [file.tensors[i].name for operator in file.operators for i in operator.outputs]
    found = []
    for index in made:
        tensor = file.tensors[index]
        tap = tensor.name if names.count(tensor.name) == 1 else f"#{index}"
        grid = (tensor.scale, tensor.zero_point or 0) if tensor.dtype in _INTEGERS else (None, 0)
        site = tensor.name.partition(";")[0].partition("#")[0]
        found.append(FileValue(tap, site, math.prod(tensor.shape), *grid))
    return tuple(found)
