"""What a MIL program holds and what it lets Core ML do in integers."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgevit.core import metadata_keys, outputs
from edgevit.core.disk.reading import reads
from edgevit.core.errors import InputError
from edgevit.core.runner import Contents, IntegerMacs, RunOptions
from edgevit.core.types import Preprocess, TensorSpec
from edgevit.formats import preprocess_json
from edgevit.formats.labels import parse_labels
from edgevit.formats.mlpackage import AGAIN
from edgevit.runtimes._mil.read import MilFile, read_mil, type_name
from edgevit.runtimes._mil.table import KERNELS

if TYPE_CHECKING:
    from coremltools.converters.mil.mil import Operation, Var

_SHAPE_ONLY = {
    *("expand_dims", "flatten2d", "identity", "reshape", "reverse", "squeeze", "tile", "transpose"),
    *("concat", "slice_by_index", "slice_by_size", "split", "stack"),
    *("depth_to_space", "pixel_shuffle", "pixel_unshuffle", "space_to_depth"),
}
_INTEGER_WEIGHTS = {
    "constexpr_affine_dequantize": "quantized_data",
    "constexpr_blockwise_shift_scale": "data",
    "dequantize": "input",
}
_OLDEST = {6: "iOS 15", 7: "iOS 16", 8: "iOS 17", 9: "iOS 18", 10: "iOS 26"}
_OWN = (metadata_keys.PREPROCESS, metadata_keys.LABELS, metadata_keys.OUTPUT)
_DTYPES = {"fp16": "float16", "fp32": "float32"}


@reads("Core ML package", AGAIN)
def integer_macs(path: Path) -> IntegerMacs:
    """Count the multiply-accumulates whose operands are both 8-bit integers in the program.

    A conv, linear or matmul counts if its activations come from `dequantize` with one scale,
    through operations that only move elements, and its weights are 8-bit constants that a
    constexpr operation (or dequantize) unpacks; for a matmul both sides may be activations.
    Core ML does not tell what it executes, so this is what the program permits.

    Raises:
        As `read_mil`.
    """
    file = read_mil(path)
    total, found = 0, Counter[str]()
    for operation in file.operations:
        if operation.op_type in ("conv", "linear", "matmul") and _is_integer(operation):
            total += _macs(operation)
            found[operation.op_type] += 1
    return IntegerMacs(static=total, dynamic=0, source="program", operators=tuple(found.most_common()))


def preprocess_of(file: MilFile, options: RunOptions) -> Preprocess | None:
    """How pixels become a tensor input, from the file, else as given; None for an image input, which needs none.

    Raises:
        InputError: neither says so.
    """
    if file.input.kind == "image":
        return None
    text = file.metadata.get(metadata_keys.PREPROCESS)
    preprocess = options.preprocess if text is None else preprocess_json.loads(text)[0]
    if preprocess is None:
        raise InputError(
            f"{file.path} takes a tensor and does not say how to make it from pixels",
            "give the model that it was made from with --reference",
        )
    return preprocess


@reads("Core ML package", AGAIN)
def contents(path: Path) -> Contents:
    """Read back metadata, operators, and weights by the type they are stored in.

    Raises:
        As `read_mil`; InputError also for metadata that is not what edgevit writes.
    """
    file = read_mil(path)
    text = file.metadata.get(metadata_keys.PREPROCESS)
    operators = Counter(o.op_type for o in file.operations if o.op_type != "const")
    ranks = [var.rank for o in file.operations for var in o.outputs if type_name(var) not in ("dict", "list")]
    color = file.input.color if file.input.kind == "image" else ""
    return Contents(
        preprocess=None if text is None else preprocess_json.loads(text)[0],
        labels=_labels(file),
        weight_bytes=_weight_bytes(file),
        operators=tuple(operators.most_common()),
        max_rank=max(ranks, default=0),
        inputs=(TensorSpec(file.input.name, file.input.shape, f"image {color}" if color else "float32"),),
        outputs=tuple(_output(file, name) for name in file.outputs),
        output=outputs.loads(file.metadata.get(metadata_keys.OUTPUT), path),
        activation=_activation(file),
        metadata={key: value for key, value in file.metadata.items() if key not in _OWN},
        requires=(_requires(file.version),),
    )


def _requires(version: int) -> str:
    """The version of the specification, and the oldest iOS that loads it where that is known.

    https://apple.github.io/coremltools/mlmodel/Format/Model.html
    """
    system = _OLDEST.get(version)
    return f"Core ML specification {version}" + (f" ({system})" if system else "")


def _activation(file: MilFile) -> outputs.Activation:
    """Of `logits`, else of the tensor that the classes are chosen from, else of the first output."""
    made = {var.name: operation for operation in file.operations for var in operation.outputs}

    def maker(name: str) -> tuple[str, str] | None:
        operation = made.get(name)
        source = None if operation is None else operation.inputs.get("x", operation.inputs.get("input"))
        return None if operation is None or source is None else (operation.op_type, source.name)

    chosen = next((o.inputs["probabilities"].name for o in file.operations if o.op_type == "classify"), None)
    name = (
        outputs.LOGITS_NAME
        if outputs.LOGITS_NAME in file.outputs
        else chosen or next(iter(file.outputs), None)
    )
    return "none" if name is None else outputs.last_activation(name, maker)


def _labels(file: MilFile) -> tuple[str, ...]:
    text = file.metadata.get(metadata_keys.LABELS)
    if text is None:
        return file.classes
    return parse_labels(text, file.path)


def _output(file: MilFile, name: str) -> TensorSpec:
    for operation in file.operations:
        for var in operation.outputs:
            if var.name == name:
                type_text = type_name(var)
                shape = () if type_text == "dict" else tuple(int(n) for n in var.shape)
                return TensorSpec(name, shape, _DTYPES.get(type_text, type_text))
    raise InputError(f"{file.path}: nothing in the program makes the output {name}", AGAIN)


def _sources(operation: Operation) -> list[tuple[str, Any]]:
    pairs = [(k, v) for k, g in operation.inputs.items() for v in (g if isinstance(g, list | tuple) else [g])]
    return [(name, var) for name, var in pairs if var is not None]


def _weight_bytes(file: MilFile) -> dict[str, int]:
    """Bytes of the constants that are data, each once; settings such as strides are not data."""
    bits: Counter[str] = Counter()
    seen = set()
    for operation in file.operations:
        kernel = KERNELS.get(operation.op_type)
        if kernel is None:
            continue
        data = kernel.parameters()
        for name, var in _sources(operation):
            if not data.get(name) or var.op is None or var.op.op_type != "const" or id(var) in seen:
                continue
            seen.add(id(var))
            type_text = type_name(var)
            size = 8 if type_text == "bool" else int("".join(c for c in type_text if c.isdigit()))
            bits[_DTYPES.get(type_text, type_text)] += -(-size * math.prod(var.shape) // 8)
    return dict(bits)


def _is_integer(operation: Operation) -> bool:
    if operation.op_type == "matmul":
        sides = (operation.x, operation.y)
        return any(_is_integer_activation(v) for v in sides) and all(
            _is_integer_activation(v) or _is_integer_weight(v) for v in sides
        )
    return _is_integer_activation(operation.x) and _is_integer_weight(operation.weight)


def _is_integer_weight(var: Var) -> bool:
    source = var.op
    if source is None or source.op_type not in _INTEGER_WEIGHTS:
        return False
    data = source.inputs[_INTEGER_WEIGHTS[source.op_type]]
    return data.op is not None and data.op.op_type == "const" and type_name(data) in ("int8", "uint8")


def _is_integer_activation(var: Var) -> bool:
    """Whether the elements come from one grid: one scale, one zero point, of an 8-bit run-time tensor."""
    grids = _grids(var)
    return grids is not None and len(grids) == 1


def _grids(var: Var) -> set[tuple[float, int]] | None:
    """All (scale, zero point) that reach a value; None if anything else than dequantize feeds it."""
    operation = var.op
    if operation is None:
        return None
    if operation.op_type == "dequantize":
        if operation.inputs["input"].op is not None and operation.inputs["input"].op.op_type == "const":
            return None
        zero = operation.inputs.get("zero_point")
        scale = operation.inputs["scale"].val
        if scale is None or scale.size != 1:
            return None
        return {(float(scale), 0 if zero is None else int(zero.val))}
    if operation.op_type not in _SHAPE_ONLY:
        return None
    found: set[tuple[float, int]] = set()
    parameters = KERNELS[operation.op_type].parameters()
    for name, source in _sources(operation):
        if parameters[name]:
            grids = _grids(source)
            if grids is None:
                return None
            found |= grids
    return found


def _macs(operation: Operation) -> int:
    """Multiply-accumulates: elements of the result times the length of each sum."""
    result = int(math.prod(operation.outputs[0].shape))
    if operation.op_type == "matmul":
        transposed = operation.transpose_x is not None and bool(operation.transpose_x.val)
        return result * int(operation.x.shape[-2 if transposed else -1])
    return result * int(math.prod(operation.weight.shape[1:]))
