"""A uint8 input (1, height, width, channels) in RGB, as cameras and decoders give it: the rest is inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from converters.onnx.qdq_nodes import initializer
from edgevit.core.pixels import in_rgb
from edgevit.core.types import Preprocess

if TYPE_CHECKING:
    import onnx_ir as ir

NORMALISED: Final = "image.normalised"


def take_pixels(model: ir.Model, preprocess: Preprocess) -> None:
    """Replace the input `image`, float32 (1, channels, height, width), which becomes the tensor NORMALISED.

    (value / 255 - mean) / std as one product and one sum for each channel; channels in the model's order behind it.
    """
    import numpy as np
    import onnx_ir as ir

    graph, rgb = model.graph, in_rgb(preprocess)
    old = graph.inputs[0]
    assert old.shape is not None
    batch, channels, height, width = old.shape
    image = ir.val(str(old.name), ir.DataType.UINT8, ir.Shape([batch, height, width, channels]))
    std = np.array(rgb.std)
    factor = initializer(graph, "image.factor", (1 / (255 * std)).astype(np.float32))
    offset = initializer(graph, "image.offset", (-np.array(rgb.mean) / std).astype(np.float32))
    nodes = [ir.node("Cast", [image], {"to": ir.DataType.FLOAT})]
    nodes.append(ir.node("Mul", [nodes[-1].outputs[0], factor]))
    nodes.append(ir.node("Add", [nodes[-1].outputs[0], offset]))
    nodes.append(ir.node("Transpose", [nodes[-1].outputs[0]], {"perm": [0, 3, 1, 2]}))
    if preprocess.color == "bgr":
        order = initializer(graph, "image.order", np.arange(len(std), dtype=np.int64)[::-1].copy())
        nodes.append(ir.node("Gather", [nodes[-1].outputs[0], order], {"axis": 1}))
    for node in nodes:
        node.name = f"{NORMALISED}/{node.op_type}"
        node.outputs[0].name = f"image.{node.op_type.lower()}"
    new = nodes[-1].outputs[0]
    new.name, new.type, new.shape = NORMALISED, old.type, old.shape
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    old.name = "image.float"  # the name is free for the new input
    graph.inputs[0] = image
    graph.insert_before(graph[0], nodes)
