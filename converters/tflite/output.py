"""Integers as the outputs of a file, on the grids of a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from converters.tflite import flatbuffer as tfl
from converters.tflite.quantize import INT8_VERSION
from edgevit.core.quant_params import QuantParams

_MOVING: Final = ("RESHAPE", "TRANSPOSE")
_FROM_FLOAT, _FROM_INT8 = 1, 2  # versions of QUANTIZE

if TYPE_CHECKING:
    from converters.tflite.objects import Model


def give_integers(model: Model, all_params: Sequence[QuantParams]) -> Mapping[str, str]:
    """Make the float outputs integers on `all_params`, one for each.

    What an integer layer gives on the same grid becomes the output itself, so that nothing is rounded twice.

    Returns:
        Tensors that have another name now, by their former one.
    """
    part = tfl.graph(model)
    renamed: dict[str, str] = {}
    new: dict[int, int] = {}
    for old, params in zip(map(int, part.outputs), all_params, strict=True):
        name = tfl.text(part.tensors[old].name)
        renamed[name] = f"{name}/float32"
        part.tensors[old].name = renamed[name].encode()
        signed = replace(params, dtype="int8", zero_point=(params.zero_point[0] - 128,))
        source = _integers(model, old, params if params.dtype == "int8" else signed)
        if source is not None and params.dtype == "int8":
            renamed[tfl.text(part.tensors[source].name)] = name
            part.tensors[source].name = name.encode()
            new[old] = source
            continue
        new[old] = tfl.add_tensor(model, name, part.tensors[old].shape, params.dtype.upper())
        tfl.set_quantization(part.tensors[new[old]], params.scale, params.zero_point)
        read, version = (old, _FROM_FLOAT) if source is None else (source, _FROM_INT8)
        part.operators = [*part.operators, tfl.new_operator(model, "QUANTIZE", version, [read], [new[old]])]
    part.outputs = [new[int(t)] for t in part.outputs]
    for signature in model.signatureDefs or ():
        for entry in signature.outputs:
            entry.tensorIndex = new[int(entry.tensorIndex)]
    return renamed


def _integers(model: Model, output: int, params: QuantParams) -> int | None:
    """The int8 tensor on `params` that `output` is the real value of, through whatever only moves values.

    Operators that move float values to the output get duplicates that move integers.
    """
    part = tfl.graph(model)
    moving, current = [], output
    while True:
        maker = next((o for o in part.operators if current in map(int, o.outputs)), None)
        kind = "" if maker is None else tfl.kind(model, maker)
        if maker is None or kind not in ("DEQUANTIZE", *_MOVING):
            return None
        current = int(maker.inputs[0])
        if kind == "DEQUANTIZE":
            break
        moving.append(maker)
    found = part.tensors[current].quantization
    if len(found.scale) != 1 or tfl.dtype(part.tensors[current]) != "INT8":
        return None
    if abs(found.scale[0] / params.scale[0] - 1) > 1e-6 or int(found.zeroPoint[0]) != params.zero_point[0]:
        return None
    for operator in reversed(moving):
        old = part.tensors[int(operator.outputs[0])]
        duplicate = tfl.add_tensor(model, f"{tfl.text(old.name)}/int8", old.shape, "INT8")
        tfl.set_quantization(part.tensors[duplicate], params.scale, params.zero_point)
        kind = tfl.kind(model, operator)
        made = tfl.new_operator(
            model, kind, INT8_VERSION[kind], [current, *map(int, operator.inputs[1:])], [duplicate]
        )
        made.builtinOptionsType, made.builtinOptions = operator.builtinOptionsType, operator.builtinOptions
        part.operators = [*part.operators, made]
        current = duplicate
    return current
