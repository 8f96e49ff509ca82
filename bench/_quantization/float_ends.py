"""A TFLite file of another tool whose ends are integers, with float ends: for the judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from converters.tflite import flatbuffer as tfl


def give_float_ends(path: Path) -> None:
    """Put QUANTIZE in front of an int8 input and DEQUANTIZE behind an int8 output, on their own grids."""
    model = tfl.read(path.read_bytes())
    part = tfl.graph(model)
    for name, word in (("QUANTIZE", "inputs"), ("DEQUANTIZE", "outputs")):
        ends = [int(index) for index in getattr(part, word)]
        for position, index in enumerate(ends):
            if tfl.dtype(part.tensors[index]) != "INT8":
                continue
            real = tfl.add_tensor(model, f"{name.lower()}_{position}", part.tensors[index].shape, "FLOAT32")
            between = ([real], [index]) if name == "QUANTIZE" else ([index], [real])
            place = 0 if name == "QUANTIZE" else len(part.operators)
            part.operators.insert(place, tfl.new_operator(model, name, 2, *between))
            ends[position] = real
            _rename(model, index, real)
        setattr(part, word, np.asarray(ends, np.int32))
    path.write_bytes(tfl.pack(model))


def _rename(model: Any, old: int, new: int) -> None:
    for signature in model.signatureDefs or ():
        for entry in (*signature.inputs, *signature.outputs):
            if entry.tensorIndex == old:
                entry.tensorIndex = new
