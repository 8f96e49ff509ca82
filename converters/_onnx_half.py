"""A float16 copy of an ONNX model: float16 constants and computation, float32 at both ends.

ONNX Runtime's CPU provider has few float16 kernels: it computes most operators in float32 between
casts, so that the file is half as large there and not faster; GPU and NPU providers compute in float16.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgevit.core.errors import UnsupportedError

if TYPE_CHECKING:
    import onnx_ir as ir

# Inputs that the operator set types as float32 whatever the other inputs are.
_ALWAYS_FLOAT32: Final = {("Resize", 2), ("Upsample", 1)}
_LARGEST: Final = 65504.0


def to_half(model: ir.Model) -> None:
    """Edit `model` in place.

    Raises:
        UnsupportedError: a finite constant that float16 cannot hold, or control flow in the model.
    """
    import onnx_ir as ir

    graph = model.graph
    kept = {
        value
        for node in graph
        for index, value in enumerate(node.inputs)
        if value is not None and (node.op_type, index) in _ALWAYS_FLOAT32
    }
    for value in kept:
        _refuse_shared(value)
    for value in graph.initializers.values():
        if value.dtype == ir.DataType.FLOAT and value not in kept:
            value.const_value = _half(value.const_value, str(value.name))
            value.type = ir.TensorType(ir.DataType.FLOAT16)
    for node in graph:
        for attribute in list(node.attributes.values()):
            node.attributes[attribute.name] = _half_attribute(node, attribute)
        for value in node.outputs:
            if value.dtype == ir.DataType.FLOAT:
                value.type = ir.TensorType(ir.DataType.FLOAT16)
    for value in graph.inputs:
        if value.dtype == ir.DataType.FLOAT:
            _cast_input(graph, value)
    for index, value in enumerate(list(graph.outputs)):
        if value.dtype == ir.DataType.FLOAT16:
            _cast_output(graph, index, value)


def _half(tensor: ir.TensorProtocol | None, name: str) -> ir.TensorProtocol:
    import numpy as np
    import onnx_ir as ir

    assert tensor is not None
    wide = tensor.numpy()
    finite = wide[np.isfinite(wide)]
    if finite.size and float(np.abs(finite).max()) > _LARGEST:
        raise UnsupportedError(
            f"the constant {name} holds {float(np.abs(finite).max()):.3g}, float16 ends at {_LARGEST:.0f}",
            "use --precision fp32 or w8 for this model",
        )
    return ir.Tensor(wide.astype(np.float16), name=name)


def _half_attribute(node: ir.Node, attribute: ir.Attr) -> ir.Attr:
    """Constants and target types that sit in attributes: ConstantOfShape's value, Cast's type."""
    import onnx_ir as ir

    if attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
        raise UnsupportedError(f"{node.op_type} has branches: float16 is not written for control flow")
    if attribute.type == ir.AttributeType.TENSOR and attribute.as_tensor().dtype == ir.DataType.FLOAT:
        return ir.AttrTensor(attribute.name, _half(attribute.as_tensor(), str(node.name)))
    casts = node.op_type == "Cast" and attribute.name == "to"
    return (
        ir.AttrInt64("to", ir.DataType.FLOAT16)
        if casts and attribute.as_int() == ir.DataType.FLOAT
        else attribute
    )


def _refuse_shared(value: ir.Value) -> None:
    if (
        any((node.op_type, index) not in _ALWAYS_FLOAT32 for node, index in value.uses())
        or value.producer() is not None
    ):
        raise UnsupportedError(
            f"{value.name} must stay float32 for one operator and become float16 for another"
        )


def _cast_input(graph: ir.Graph, value: ir.Value) -> None:
    import onnx_ir as ir

    node = ir.node("Cast", [value], {"to": ir.DataType.FLOAT16}, name=f"{value.name}/Cast")
    cast = node.outputs[0]
    cast.name, cast.type, cast.shape = f"{value.name}.half", ir.TensorType(ir.DataType.FLOAT16), value.shape
    readers = [use for use in value.uses() if use.node is not node]
    graph.insert_before(graph[0], node)
    for reader, index in readers:
        reader.replace_input_with(index, cast)


def _cast_output(graph: ir.Graph, index: int, value: ir.Value) -> None:
    import onnx_ir as ir

    name = str(value.name)
    value.name = f"{name}.half"
    node = ir.node("Cast", [value], {"to": ir.DataType.FLOAT}, name=f"{name}/Cast")
    cast = node.outputs[0]
    cast.name, cast.type, cast.shape = name, ir.TensorType(ir.DataType.FLOAT), value.shape
    graph.append(node)
    graph.outputs[index] = cast
