"""Count what LiteRT executes in integer kernels: operator types in the file, taken over by XNNPACK."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

from edgevit.agent.integer_macs import OF_THE_IMAGE
from edgevit.core import metadata_keys
from edgevit.core.disk.reading import reads
from edgevit.core.runner import IntegerMacs
from edgevit.formats import tflite_file
from edgevit.runtimes._litert import session

_BITS: Final = {"int8": 8, "int16": 16}
_DYNAMIC: Final = (("float32", "int8", "float32"), ("float32", "int4", "float32"))


@reads("TFLite file", tflite_file.AGAIN)
def count(path: Path) -> IntegerMacs:
    """MACs in integer kernels, for one image.

    Static: input, weight and output are int8 and XNNPACK executes the operator. An operator with float
    ends is float however many QUANTIZE and DEQUANTIZE stand around it. DynamicQuantization: float ends and int8
    or int4 constants, which LiteRT multiplies as integers after quantizing the input at run time.
    A file for accelerators without float arithmetic is not written for XNNPACK, whose kernels say nothing of it: there
    each operator with integers at both ends counts, by the program.

    Raises:
        InputError: not a TFLite file, or LiteRT refuses it.
        UnsupportedError: it holds operators that are none of TFLite's own.
    """
    file = tflite_file.read(path)
    made_for = file.metadata.get(metadata_keys.BACKEND)
    interpreter = session.open_interpreter(file, file.raw, 1)
    parts = session.partitions(interpreter, file)
    delegated = {index for part in parts for index in part}
    static = dynamic = 0
    found: Counter[str] = Counter()
    by_bits: Counter[int] = Counter()
    for index, operator in enumerate(file.operators):
        if operator.kind not in tflite_file.MULTIPLYING:
            continue
        types = tuple(file.tensors[t].dtype for t in (*operator.inputs[:2], operator.outputs[0]))
        where = "xnnpack" if index in delegated else "reference"
        if made_for and types[0] == types[2] and types[0] in _BITS:
            found[f"{operator.kind} {types[0]}"] += 1
            if not file.tensors[operator.outputs[0]].name.startswith(OF_THE_IMAGE):
                by_bits[_BITS[types[0]]] += tflite_file.macs(file, operator)
            continue
        if types == ("int8", "int8", "int8"):
            found[f"{operator.kind} int8 {where}"] += 1
            # the normalisation of the image is no part of the model
            if index in delegated and not file.tensors[operator.outputs[0]].name.startswith(OF_THE_IMAGE):
                static += tflite_file.macs(file, operator)
        elif types in _DYNAMIC:
            found[f"{operator.kind} dynamic {types[1]} {where}"] += 1
            dynamic += tflite_file.macs(file, operator)
        else:
            found[f"{operator.kind} {types[0]} {where}"] += 1
    if made_for:
        split = tuple(sorted(by_bits.items())) if 16 in by_bits else ()
        return IntegerMacs(by_bits.total(), 0, "program", tuple(found.most_common()), static_by_bits=split)
    return IntegerMacs(static, dynamic, "runtime", tuple(found.most_common()), len(parts))
