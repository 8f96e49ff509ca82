"""The operators of a .tflite file, as rules look at them. Nothing is executed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from edgevit.accelerators import _modules
from edgevit.accelerators._operators import Operand, Operator
from edgevit.core.disk.reading import reads
from edgevit.core.disk.regular import regular_file
from edgevit.core.errors import InputError
from edgevit.core.require import require

EXTRA: Final = "tflite"
_AGAIN: Final = "convert the model again"


@reads("TFLite file", _AGAIN)
def read(path: Path) -> tuple[Operator, ...]:
    """Those of the first subgraph, in execution order.

    Weights that are stored as float16 and widened by a DEQUANTIZE count as constants: delegates read them as they are
    stored, and that operator is none for them (`FP16GraphPartitionHelper` in tflite/delegates/utils.h).

    Raises:
        InputError: missing, or no TFLite file.
        MissingDependencyError: the extra is not installed.
    """
    schema = require("ai_edge_litert.schema_py_generated", EXTRA)
    raw = regular_file(path, "the TFLite file").read_bytes()
    if raw[4:8] != b"TFL3":
        raise InputError(f"{path} is not a TFLite file", "a .tflite file has TFL3 at its fifth byte")
    model = schema.Model.GetRootAs(raw, 0)
    part = model.Subgraphs(0)
    kinds, types = _names(schema.BuiltinOperator), _names(schema.TensorType)
    tensors = [_tensor(model, part.Tensors(index), index, types) for index in range(part.TensorsLength())]
    operators, modules = [], []
    for index in range(part.OperatorsLength()):
        operator = _operator(schema, model, part.Operators(index), tensors, kinds)
        if operator.kind == "DEQUANTIZE" and _is_stored_half(operator):
            widened = operator.outputs[0]
            tensors[widened.index] = Operand(widened.name, widened.shape, "float16", True, widened.index)
            continue
        operators.append(operator)
        constants = (operand for operand in operator.given if operand.constant)
        modules.append(_modules.of_tensors(operand.name for operand in (*operator.outputs, *constants)))
    return _modules.with_modules(operators, modules)


def _is_stored_half(operator: Operator) -> bool:
    return all(operand.constant and operand.dtype == "float16" for operand in operator.given)


def _tensor(model: Any, tensor: Any, index: int, types: Mapping[int, str]) -> Operand:
    buffer = model.Buffers(tensor.Buffer())
    sizes = [int(tensor.Shape(axis)) for axis in range(tensor.ShapeLength())]
    # -1 in the signature: a dimension that the caller may set; the shape then has a stand-in for it
    signature = [int(tensor.ShapeSignature(axis)) for axis in range(tensor.ShapeSignatureLength())]
    shape = tuple(
        None if size < 0 or told < 0 else size
        for size, told in zip(sizes, signature if len(signature) == len(sizes) else sizes, strict=True)
    )
    constant = buffer.DataLength() > 0 or buffer.Offset() > 1
    return Operand(_text(tensor.Name()), shape, types[tensor.Type()].lower(), constant, index)


def _operator(
    schema: Any, model: Any, operator: Any, tensors: list[Operand], kinds: Mapping[int, str]
) -> Operator:
    code = model.OperatorCodes(operator.OpcodeIndex())
    kind = kinds[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
    inputs = tuple(
        tensors[at] if (at := int(operator.Inputs(i))) >= 0 else None for i in range(operator.InputsLength())
    )
    outputs = tuple(tensors[int(operator.Outputs(i))] for i in range(operator.OutputsLength()))
    options = schema.OperatorT.InitFromObj(operator).builtinOptions
    return Operator(
        kind=_text(code.CustomCode()) if kind == "CUSTOM" else kind,
        name=outputs[0].name if outputs else "",
        module="",
        inputs=inputs,
        outputs=outputs,
        version=int(code.Version()),
        options={} if options is None else {name: _plain(value) for name, value in vars(options).items()},
    )


def _plain(value: Any) -> object:
    return tuple(value) if isinstance(value, list) or hasattr(value, "tolist") else value


def _names(enum: type) -> dict[int, str]:
    return {value: name for name, value in vars(enum).items() if not name.startswith("_")}


def _text(value: bytes | None) -> str:
    return value.decode() if value else ""
