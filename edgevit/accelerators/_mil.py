"""The operations of an .mlpackage, as rules look at them. Nothing is executed."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgevit.accelerators import _modules
from edgevit.accelerators._operators import Operand, Operator
from edgevit.core import metadata_keys
from edgevit.core.disk.documents import parse_json
from edgevit.core.disk.reading import reads
from edgevit.core.errors import InputError, UnsupportedError
from edgevit.core.require import require
from edgevit.formats.mlpackage import AGAIN, check_package

EXTRA: Final = "coreml"


@dataclass(frozen=True, slots=True)
class MilOperations:
    """Operations of the main function besides constants, and inputs whose shape lies in a range."""

    operators: tuple[Operator, ...]
    ranges: tuple[str, ...]


@reads("Core ML package", AGAIN)
def read(path: Path) -> MilOperations:
    """Of a program whatever its operations, also those that nothing here executes.

    Raises:
        InputError: not a package, or damaged.
        UnsupportedError: a Core ML model of an older kind, which is no program.
        MissingDependencyError: the extra is not installed.
    """
    package = check_package(path)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        spec = require("coremltools", EXTRA).utils.load_spec(str(package.model))
    if spec.WhichOneof("Type") != "mlProgram":
        raise UnsupportedError(
            f"{path} is a Core ML {spec.WhichOneof('Type')}, only ML programs can be looked into",
            "convert it again with convert_to='mlprogram'",
        )
    name = spec.description.defaultFunctionName or "main"
    if name not in spec.mlProgram.functions:
        raise InputError(f"{path}: the program has no function {name!r}", AGAIN)
    function = spec.mlProgram.functions[name]
    block = function.block_specializations[function.opset]
    ranges = tuple(entry.name for entry in spec.description.input if _is_range(entry.type))
    values = {entry.name: _operand(entry, False) for entry in function.inputs}
    text = spec.description.metadata.userDefined.get(metadata_keys.SITES, "{}")
    table = parse_json(text, f"{path}: its table of sites", AGAIN)
    sites = {str(value): str(site) for site, value in table.items()} if isinstance(table, dict) else {}
    operators, modules = [], []
    for operation in block.operations:
        constant = operation.type == "const" or operation.type.startswith("constexpr_")
        outputs = tuple(_operand(entry, constant) for entry in operation.outputs)
        values |= {operand.name: operand for operand in outputs}
        if constant:
            continue
        given = [binding for entry in operation.inputs.values() for binding in entry.arguments]
        inputs = tuple(values[binding.name] for binding in given if binding.name in values)
        first = outputs[0].name if outputs else operation.type
        operators.append(Operator(operation.type, first, "", inputs, outputs))
        modules.append(_modules.of_site(sites[first]) if first in sites else None)
    return MilOperations(_modules.with_modules(operators, modules), ranges)


def _operand(entry: Any, constant: bool) -> Operand:
    """Of a NamedValueType; lists and dictionaries have no shape."""
    if entry.type.WhichOneof("type") != "tensorType":
        return Operand(entry.name, None, "", constant)
    tensor = entry.type.tensorType
    shape = tuple(
        int(axis.constant.size) if axis.WhichOneof("dimension") == "constant" else None
        for axis in tensor.dimensions
    )
    kind = tensor.DESCRIPTOR.fields_by_name["dataType"].enum_type.values_by_number[tensor.dataType].name
    return Operand(entry.name, shape, kind.lower(), constant)


def _is_range(feature: Any) -> bool:
    if feature.WhichOneof("Type") == "multiArrayType":
        return bool(feature.multiArrayType.WhichOneof("ShapeFlexibility") == "shapeRange")
    if feature.WhichOneof("Type") == "imageType":
        return bool(feature.imageType.WhichOneof("SizeFlexibility") == "imageSizeRange")
    return False
