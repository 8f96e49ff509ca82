"""Read tensors without changing how HTP computes with them.

The execution provider fuses transpositions and conversions of width into the product that reads them, and refuses all
of it where such a tensor is an output as well. So what is read there is moved and converted once more, beside. A tensor
that is converted alone, behind its operator or for one of its readers, is read behind a reshape, as (1, elements).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


def apart(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model, edited in place, in which no such tensor is an output and read by an operator too."""
    nodes = list(model.graph.node)
    makers = {name: node for node in nodes for name in node.output}
    for name in [value.name for value in model.graph.output]:
        readers = [node for node in nodes if name in node.input]
        chain = _moves(name, makers) if readers else []
        narrowed = bool(chain) and all(node.op_type != "Transpose" for node in chain)
        if narrowed or (not chain and any(_converts(node, nodes) for node in readers)):
            inside, copies = _reshaped(model, makers[name], name)
            at = nodes.index(makers[name]) + 1
            makers[name].output[0] = inside
            makers[inside], makers[name] = makers[name], copies[-1]
            for node in readers:
                node.input[:] = [inside if one == name else one for one in node.input]
            nodes[at:at] = copies
        if not chain or narrowed:
            continue
        at = nodes.index(chain[-1]) + 1
        copies = _copies(chain, name)
        inside = copies[-1].output[0]
        copies[-1].output[0] = name  # the copy gives the output, and what was there goes on by another name
        chain[-1].output[0] = inside
        makers[inside], makers[name] = chain[-1], copies[-1]
        for node in readers:
            node.input[:] = [inside if one == name else one for one in node.input]
        nodes[at:at] = copies
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def _converts(reader: onnx.NodeProto, nodes: list[onnx.NodeProto]) -> bool:
    """Whether `reader` is a DequantizeLinear whose result goes straight into a QuantizeLinear."""
    return reader.op_type == "DequantizeLinear" and any(
        node.op_type == "QuantizeLinear" and node.input[0] == reader.output[0] for node in nodes
    )


def _reshaped(model: onnx.ModelProto, marker: onnx.NodeProto, name: str) -> tuple[str, list[onnx.NodeProto]]:
    """The name that the tensor goes on by, and nodes that give it as (1, elements) by its own."""
    from onnx import TensorProto, helper

    inside, shape = f"{name}#inside", f"{name}#shape"
    if shape not in {tensor.name for tensor in model.graph.initializer}:
        model.graph.initializer.append(helper.make_tensor(shape, TensorProto.INT64, [2], [1, -1]))
    real, flat = f"{name}#real", f"{name}#flat"
    return inside, [
        helper.make_node("DequantizeLinear", [inside, *marker.input[1:]], [real], name=real),
        helper.make_node("Reshape", [real, shape], [flat], name=flat),
        helper.make_node("QuantizeLinear", [flat, *marker.input[1:]], [name], name=f"{name}#read"),
    ]


def _moves(name: str, makers: Mapping[str, onnx.NodeProto]) -> list[onnx.NodeProto]:
    """The last nodes before a quantized tensor that move or convert what another operator has computed, in order."""
    found: list[onnx.NodeProto] = []
    while (marker := makers.get(name)) is not None and marker.op_type == "QuantizeLinear":
        unit = [marker]
        node = makers.get(marker.input[0])
        if node is not None and node.op_type == "Transpose":
            unit.insert(0, node)
            node = makers.get(node.input[0])
        if node is None or node.op_type != "DequantizeLinear":
            break
        found[:0] = [node, *unit]
        name = node.input[0]
    return found


def _copies(chain: list[onnx.NodeProto], name: str) -> list[onnx.NodeProto]:
    """The same nodes on the same input, with names of their own."""
    renamed = {one: f"{one}#{name}" for node in chain for one in node.output}
    copies = []
    for node in chain:
        copy = type(node)()
        copy.CopyFrom(node)
        copy.name = renamed[node.output[0]]
        copy.input[:] = [renamed.get(one, one) for one in node.input]
        copy.output[:] = [renamed[one] for one in node.output]
        copies.append(copy)
    return copies
