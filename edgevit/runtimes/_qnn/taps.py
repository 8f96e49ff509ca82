"""Read tensors without changing how HTP computes with them.

The execution provider fuses a transposition into the product that reads it, and refuses the pair where the transposed
tensor is an output as well. So what is read there is made by a transposition of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.require import require
from edgevit.runtimes._qnn import host

if TYPE_CHECKING:
    import onnx

_INSIDE = "#inside"


def apart(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model, edited in place, in which no quantized transposition is an output and read by an operator too."""
    onnx = require("onnx", host.EXTRA)
    nodes = list(model.graph.node)
    makers = {name: node for node in nodes for name in node.output}
    for value in model.graph.output:
        name = value.name
        markers = makers.get(name)
        moved = (
            makers.get(markers.input[0])
            if markers is not None and markers.op_type == "QuantizeLinear"
            else None
        )
        readers = [node for node in nodes if name in node.input]
        if markers is None or moved is None or moved.op_type != "Transpose" or not readers:
            continue
        copy, marker = onnx.NodeProto(), onnx.NodeProto()
        copy.CopyFrom(moved)
        marker.CopyFrom(markers)
        copy.name, marker.name = f"{moved.output[0]}{_INSIDE}", f"{name}{_INSIDE}"
        copy.output[0] = marker.input[0] = f"{moved.output[0]}{_INSIDE}"
        marker.output[0] = f"{name}{_INSIDE}"
        for node in readers:
            node.input[:] = [marker.output[0] if one == name else one for one in node.input]
        nodes[nodes.index(markers) + 1 : nodes.index(markers) + 1] = [copy, marker]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model
