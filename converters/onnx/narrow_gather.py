"""Gather of narrow rows, along the last axis instead.

    Gather(x, i, axis) = Transpose(Gather(Transpose(x), i, last axis))

HTP mixes up rows of 8 to 32 bytes that it gathers, such as 16 channels in 16 bits (onnxruntime-qnn 2.7.0, v75), and
gives every row right where the axis is the last. Rows of 64 bytes and more stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import onnx_ir as ir

_WIDE_BYTES: Final = 64


def split(node: ir.Node, item_bytes: int) -> tuple[ir.Node, ...]:
    """The operators in the place of a Gather, in their order; the Gather alone where it is right."""
    import math

    import onnx_ir as ir

    if node.op_type != "Gather":
        return (node,)
    data, indices = node.inputs[:2]
    if data is None or data.shape is None or indices is None or indices.shape is None:
        return (node,)
    sizes, picked = data.shape.numpy(), indices.shape.numpy()
    axis = node.attributes.get_int("axis", 0) % len(sizes)
    if axis == len(sizes) - 1 or math.prod(sizes[axis + 1 :]) * item_bytes >= _WIDE_BYTES:
        return (node,)
    others = [index for index in range(len(sizes)) if index != axis]
    behind = list(range(len(others), len(others) + len(picked)))
    turned = _after(ir.node("Transpose", [data], {"perm": [*others, axis]}), node, "first")
    turned.outputs[0].shape = ir.Shape([sizes[index] for index in (*others, axis)])
    attributes = {"axis": len(others)}
    gathered = _after(ir.node("Gather", [turned.outputs[0], indices], attributes), node, "columns")
    gathered.outputs[0].shape = ir.Shape([*(sizes[index] for index in others), *picked])
    order = [*range(axis), *behind, *range(axis, len(others))]
    back = _after(ir.node("Transpose", [gathered.outputs[0]], {"perm": order}), node, "last")
    old, new = node.outputs[0], back.outputs[0]
    name, new.shape = old.name, old.shape
    assert node.graph is not None
    node.graph.insert_before(node, [turned, gathered, back])
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    node.graph.remove(node, safe=True)
    new.name = name
    return (turned, gathered, back)


def _after(made: ir.Node, node: ir.Node, suffix: str) -> ir.Node:
    """`made` with a name, a site and a type of `node`'s."""
    made.name = f"{node.name}.{suffix}"
    made.metadata_props.update(node.metadata_props)
    out = made.outputs[0]
    out.name, out.type = f"{node.outputs[0].name}.{suffix}", node.outputs[0].type
    return made
