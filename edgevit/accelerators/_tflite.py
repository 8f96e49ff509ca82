"""The operators of a .tflite file, as rules look at them. Nothing is executed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edgevit.accelerators import _modules
from edgevit.accelerators._operators import Operand, Operator
from edgevit.core.errors import InputError
from edgevit.formats import tflite_file

EXTRA: Final = tflite_file.EXTRA
# Operands that an operator cannot do without, for those at whose operands rules look by place. Each has an output too.
LEAST: Final[Mapping[str, int]] = {
    **dict.fromkeys(["CAST", "DEQUANTIZE", "PACK", "QUANTIZE", "RESHAPE"], 1),
    **dict.fromkeys(
        [
            "ADD",
            "ARG_MAX",
            "ARG_MIN",
            "BATCH_MATMUL",
            "CONV_2D",
            "DEPTHWISE_CONV_2D",
            "FULLY_CONNECTED",
            "GATHER",
        ],
        2,
    ),
    **dict.fromkeys(
        ["MEAN", "MUL", "REDUCE_ANY", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "SUB", "SUM"], 2
    ),
    **dict.fromkeys(
        ["EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "LOGICAL_AND", "NOT_EQUAL"], 2
    ),
    **dict.fromkeys(["MIRROR_PAD", "PAD", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"], 2),
    **dict.fromkeys(["PADV2", "SELECT", "SELECT_V2", "SLICE"], 3),
    "STRIDED_SLICE": 4,
}


def read(path: Path) -> tuple[Operator, ...]:
    """Those of the first subgraph, in execution order.

    Weights that are stored as float16 and widened by a DEQUANTIZE count as constants: delegates read them as they are
    stored, and that operator is none for them (`FP16GraphPartitionHelper` in tflite/delegates/utils.h).

    Raises:
        InputError: missing, no TFLite file, or an operator without the operands that it needs.
        MissingDependencyError: the extra is not installed.
    """
    file = tflite_file.read(path)
    tensors = [_operand(tensor) for tensor in file.tensors]
    operators, modules = [], []
    for found in file.operators:
        inputs = tuple(tensors[index] if index >= 0 else None for index in found.inputs)
        outputs = tuple(tensors[index] for index in found.outputs)
        name = outputs[0].name if outputs else ""
        operator = Operator(found.kind, name, "", inputs, outputs, found.version, found.options)
        needs = LEAST.get(operator.kind, 0)
        if len(operator.given) < needs or (needs and not outputs):
            what = f"{operator.kind} '{name}' has {len(operator.given)} operands and {len(outputs)} outputs"
            raise InputError(f"{path}: {what}, it needs {needs} and 1", "export the file again")
        if operator.kind == "DEQUANTIZE" and _is_stored_half(operator):
            tensors[outputs[0].index] = Operand(name, outputs[0].shape, "float16", True, outputs[0].index)
            continue
        operators.append(operator)
        constants = (operand for operand in operator.given if operand.constant)
        modules.append(_modules.of_tensors(operand.name for operand in (*outputs, *constants)))
    return _modules.with_modules(operators, modules)


def _is_stored_half(operator: Operator) -> bool:
    return all(operand.constant and operand.dtype == "float16" for operand in operator.given)


def _operand(tensor: tflite_file.Tensor) -> Operand:
    signature = tensor.signature if len(tensor.signature) == len(tensor.shape) else tensor.shape
    shape = tuple(
        None if min(size, told) < 0 else size for size, told in zip(tensor.shape, signature, strict=True)
    )
    return Operand(tensor.name, shape, tensor.dtype, tensor.constant, tensor.index)
