"""Count what LiteRT executes in integer kernels: operator types in the file, taken over by XNNPACK."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Final

from edgevit.core.disk.reading import reads
from edgevit.core.runner import IntegerMacs
from edgevit.runtimes._litert import file as litert_file
from edgevit.runtimes._litert import session
from edgevit.runtimes._litert.file import Operator, TfliteFile

_CONVOLUTIONS: Final = ("CONV_2D", "DEPTHWISE_CONV_2D")
_DYNAMIC: Final = (("float32", "int8", "float32"), ("float32", "int4", "float32"))
_OF_THE_IMAGE: Final = "image/"
_MULTIPLYING: Final = ("FULLY_CONNECTED", *_CONVOLUTIONS, "BATCH_MATMUL")


@reads("TFLite file", litert_file.AGAIN)
def count(path: Path) -> IntegerMacs:
    """MACs in integer kernels, for one image.

    Static: input, weight and output are int8 and XNNPACK executes the operator. An operator with float
    ends is float however many QUANTIZE and DEQUANTIZE stand around it. DynamicQuantization: float ends and int8
    or int4 constants, which LiteRT multiplies as integers after quantizing the input at run time.

    Raises:
        InputError: not a TFLite file, or LiteRT refuses it.
        UnsupportedError: it holds operators that are none of TFLite's own.
    """
    file = litert_file.read(path)
    interpreter = session.open_interpreter(file, file.raw, 1)
    parts = session.partitions(interpreter, file)
    delegated = {index for part in parts for index in part}
    static = dynamic = 0
    found: Counter[str] = Counter()
    for index, operator in enumerate(file.operators):
        if operator.kind not in _MULTIPLYING:
            continue
        types = tuple(file.tensors[t].dtype for t in (*operator.inputs[:2], operator.outputs[0]))
        where = "xnnpack" if index in delegated else "reference"
        if types == ("int8", "int8", "int8"):
            found[f"{operator.kind} int8 {where}"] += 1
            # the normalisation of the image is no part of the model
            if index in delegated and not file.tensors[operator.outputs[0]].name.startswith(_OF_THE_IMAGE):
                static += _macs(file, operator)
        elif types in _DYNAMIC:
            found[f"{operator.kind} dynamic {types[1]} {where}"] += 1
            dynamic += _macs(file, operator)
        else:
            found[f"{operator.kind} {types[0]} {where}"] += 1
    return IntegerMacs(static, dynamic, "runtime", tuple(found.most_common()), len(parts))


def _macs(file: TfliteFile, operator: Operator) -> int:
    weight = file.tensors[operator.inputs[1]].shape
    outputs = math.prod(file.tensors[operator.outputs[0]].shape)
    if operator.kind == "DEPTHWISE_CONV_2D":
        return outputs * math.prod(weight[:3])
    if operator.kind == "CONV_2D":
        return outputs * math.prod(weight[1:])
    if operator.kind == "FULLY_CONNECTED":
        return outputs * weight[-1]
    # (..., m, k) times (..., k, n), either side transposed or broadcast: the side that is not broadcast
    # has outputs * k / n or outputs * k / m elements.
    left, right = (math.prod(file.tensors[t].shape) for t in operator.inputs[:2])
    rows, columns = file.tensors[operator.outputs[0]].shape[-2:]
    return max(left * columns, right * rows)
