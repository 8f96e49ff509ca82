"""The operators of an .onnx file, as rules look at them. Nothing is executed."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgevit.accelerators import _modules
from edgevit.accelerators._operators import Operand, Operator
from edgevit.core import metadata_keys
from edgevit.core.disk.reading import reads
from edgevit.core.disk.regular import regular_file
from edgevit.core.require import require

if TYPE_CHECKING:
    import onnx

EXTRA: Final = "onnx"
_AGAIN: Final = "convert the model again"
_SCOPES: Final = "pkg.torch.onnx.name_scopes"


@reads("ONNX file", _AGAIN)
def read(path: Path) -> tuple[Operator, ...]:
    """Those of the main graph that depend on its inputs, in the file's order; shapes by ONNX's own inference.

    Weights beside the file are not read.

    Raises:
        InputError: missing, or no ONNX file.
        MissingDependencyError: the extra is not installed.
    """
    library = require("onnx", EXTRA)
    require("onnx.shape_inference", EXTRA)
    model = library.load(str(regular_file(path, "the ONNX file")), load_external_data=False)
    graph = library.shape_inference.infer_shapes(model).graph
    values = {value.name: _operand(value) for value in (*graph.input, *graph.value_info, *graph.output)}
    for tensor in graph.initializer:
        values[tensor.name] = Operand(
            tensor.name, tuple(tensor.dims), _dtype(tensor.data_type), constant=True
        )
    operators, modules = [], []
    for node in graph.node:
        inputs = tuple(values.get(name, Operand(name, None, "")) if name else None for name in node.input)
        constant = all(operand is None or operand.constant for operand in inputs)
        outputs = []
        for name in filter(None, node.output):
            known = values.get(name, Operand(name, None, ""))
            values[name] = Operand(name, known.shape, known.dtype, constant)
            outputs.append(values[name])
        if constant:
            continue
        kind = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}:{node.op_type}"
        options = {entry.name: _plain(library.helper.get_attribute_value(entry)) for entry in node.attribute}
        name = node.name or next(iter(node.output), "")
        operators.append(Operator(kind, name, "", inputs, tuple(outputs), options=options))
        modules.append(_module(node))
    return _modules.with_modules(operators, modules)


def _operand(value: onnx.ValueInfoProto) -> Operand:
    kind = value.type.tensor_type
    sizes = tuple(
        axis.dim_value if axis.HasField("dim_value") and axis.dim_value >= 0 else None
        for axis in kind.shape.dim
    )
    return Operand(value.name, sizes if kind.HasField("shape") else None, _dtype(kind.elem_type))


def _dtype(number: int) -> str:
    import onnx

    if number == onnx.TensorProto.UNDEFINED:
        return ""
    return str(onnx.helper.tensor_dtype_to_np_dtype(number).name)


def _module(node: onnx.NodeProto) -> str | None:
    props = {entry.key: entry.value for entry in node.metadata_props}
    site = props.get(metadata_keys.SITE)
    if site is not None:
        return _modules.of_site(site)
    try:
        scopes = ast.literal_eval(props.get(_SCOPES, "[]"))
    except (SyntaxError, ValueError):  # of another tool, in another form
        scopes = []
    named = _modules.of_name_scopes([str(scope) for scope in scopes]) if isinstance(scopes, list) else None
    return _modules.of_node_name(node.name) if named is None else named


def _plain(value: Any) -> object:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return tuple(value) if isinstance(value, list) else value
