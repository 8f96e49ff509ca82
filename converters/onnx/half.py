"""A float16 copy of an ONNX model: float16 constants and computation, float32 at both ends.

On x86 ONNX Runtime's CPU provider has few float16 kernels: it computes most operators in float32 between
casts, so that the file is half as large there and not faster. On ARM processors with half-precision
arithmetic it computes in float16, sums included; GPU and NPU providers compute in float16 too.
Operations that float16 would spoil stay as they are, with casts where they meet the others.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from edgevit.core import metadata_keys
from edgevit.core.errors import UnsupportedError

if TYPE_CHECKING:
    import onnx_ir as ir

# Inputs that the operator set types as float32 whatever the other inputs are.
_ALWAYS_FLOAT32: Final = {("Resize", 2), ("Upsample", 1)}
_LARGEST: Final = 65504.0


def to_half(model: ir.Model, keep: Collection[str] = ()) -> None:
    """Edit `model` in place; every node of the sites in `keep` stays float32, with its constants.

    A number beyond float16's range becomes the largest one it has: what that would spoil is in `keep`.

    Raises:
        UnsupportedError: control flow in the model.
    """
    import onnx_ir as ir

    graph = model.graph
    wide = _wide(graph, keep)
    fixed = {
        value
        for node in graph
        for index, value in enumerate(node.inputs)
        if value is not None and (node.op_type, index) in _ALWAYS_FLOAT32
    }
    for value in fixed:
        _refuse_shared(value)
    for value in tuple(graph.initializers.values()):
        if value.dtype == ir.DataType.FLOAT and value not in fixed:
            _half_constant(graph, value, wide)
    for node in graph:
        if node in wide:
            continue
        for attribute in list(node.attributes.values()):
            node.attributes[attribute.name] = _half_attribute(node, attribute)
        for value in node.outputs:
            if value.dtype == ir.DataType.FLOAT:
                value.type = ir.TensorType(ir.DataType.FLOAT16)
    for value in [*graph.inputs, *(value for node in graph for value in node.outputs)]:
        _cast_for_readers(graph, value, wide)
    for index, value in enumerate(list(graph.outputs)):
        if value.dtype == ir.DataType.FLOAT16:
            _cast_output(graph, index, value)


def _wide(graph: ir.Graph, keep: Collection[str]) -> frozenset[ir.Node]:
    """The nodes of the sites in `keep`, and those of no site that read from such nodes alone.

    torch's exporter makes one Split of several slices and leaves it without a site; in float16 it would
    round what goes from float32 to float32.
    """
    wide: set[ir.Node] = set()
    for node in graph:
        sites = [site for site in sites_of(node) if site]
        made_by = [
            value.producer() for value in node.inputs if value is not None and value.const_value is None
        ]
        follows = not sites and bool(made_by) and all(maker in wide for maker in made_by)
        if follows or any(site in keep for site in sites):
            wide.add(node)
    return frozenset(wide)


def sites_of(node: ir.Node) -> list[str]:
    """The sites that the node computes."""
    together = node.metadata_props.get(metadata_keys.SITES)
    return together.splitlines() if together else [node.metadata_props.get(metadata_keys.SITE, "")]


def _half_constant(graph: ir.Graph, value: ir.Value, wide: frozenset[ir.Node]) -> None:
    """Round it; where nodes of both kinds read it, the float32 ones keep the old one."""
    import onnx_ir as ir

    readers = [use for use in value.uses() if use.node not in wide]
    name = str(value.name)
    if not value.uses() or len(readers) == len(value.uses()):
        value.const_value = _half(value.const_value, name)
        value.type = ir.TensorType(ir.DataType.FLOAT16)
    elif readers:
        rounded = _half(value.const_value, f"{name}.half")
        copy = ir.Value(
            name=rounded.name, type=ir.TensorType(rounded.dtype), shape=value.shape, const_value=rounded
        )
        graph.register_initializer(copy)
        for reader, index in readers:
            reader.replace_input_with(index, copy)


def _half(tensor: ir.TensorProtocol | None, name: str) -> ir.TensorProtocol:
    import numpy as np
    import onnx_ir as ir

    assert tensor is not None
    exact = tensor.numpy()
    held = np.where(np.isfinite(exact), np.clip(exact, -_LARGEST, _LARGEST), exact)
    return ir.Tensor(held.astype(np.float16), name=name)


def _half_attribute(node: ir.Node, attribute: ir.Attr) -> ir.Attr:
    """Constants and target types that sit in attributes: ConstantOfShape's value, Cast's type."""
    import onnx_ir as ir

    if attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
        raise UnsupportedError(
            f"{node.op_type} has branches: float16 is not written for control flow",
            "choose fp32 or w8, or write the model without control flow",
        )
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
            f"{value.name} must stay float32 for one operator and become float16 for another",
            "choose fp32 or w8, which stay in float32",
        )


def _cast_for_readers(graph: ir.Graph, value: ir.Value, wide: frozenset[ir.Node]) -> None:
    """One Cast for all readers of `value` that compute in the other type."""
    import onnx_ir as ir

    other = {ir.DataType.FLOAT: ir.DataType.FLOAT16, ir.DataType.FLOAT16: ir.DataType.FLOAT}
    if value.dtype not in other:
        return
    narrows = value.dtype == ir.DataType.FLOAT
    readers = [use for use in value.uses() if (use.node in wide) != narrows]
    if not readers:
        return
    suffix = "half" if narrows else "float"
    node = ir.node("Cast", [value], {"to": other[value.dtype]}, name=f"{value.name}/Cast")
    cast = node.outputs[0]
    cast.name, cast.type, cast.shape = (
        f"{value.name}.{suffix}",
        ir.TensorType(other[value.dtype]),
        value.shape,
    )
    producer = value.producer()
    if producer is None:
        graph.insert_before(graph[0], node)
    else:
        graph.insert_after(producer, node)
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
