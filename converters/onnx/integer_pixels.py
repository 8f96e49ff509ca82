"""A uint8 image as the input of a model that has no float: normalised in 16-bit integers.

`converters.onnx.pixels` puts a float product and a float sum in front of the model, which an NPU would compute in
float or refuse. Here the pixel is its own integer (scale 1, zero point 0), and (value / 255 - mean) / std is a
product and a sum of uint16 values for each channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from converters.onnx import qdq_nodes
from converters.onnx.pixels import NORMALISED
from edgevit.core.pixels import in_rgb
from edgevit.core.quant_params import QuantParams
from edgevit.core.types import Preprocess

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

_PIXEL = QuantParams("uint8", (1.0,), (0,))
_WIDE_PIXEL = QuantParams("uint16", (1 / 257,), (0,))


def take_pixels(model: ir.Model, preprocess: Preprocess) -> None:
    """Replace the input `image`, float32 (1, channels, height, width), by uint8 (1, height, width, channels) in RGB."""
    import numpy as np
    import onnx_ir as ir

    graph, rgb = model.graph, in_rgb(preprocess)
    old = graph.inputs[0]
    assert old.shape is not None
    batch, channels, height, width = old.shape
    readers = list(old.uses())
    old.name = "image.float"  # the name is free for the new input
    image = ir.val("image", ir.DataType.UINT8, ir.Shape([batch, height, width, channels]))
    factor = 1 / (255 * np.array(rgb.std, np.float64))
    offset = -np.array(rgb.mean, np.float64) / np.array(rgb.std, np.float64)
    done: qdq_nodes.Quantized = {}
    first = readers[0].node
    scale = qdq_nodes.initializer(graph, "image.pixels.scale", np.asarray(1.0, np.float32))
    zero = qdq_nodes.initializer(graph, "image.pixels.zero_point", np.asarray(0, np.uint8))
    pixel = qdq_nodes.dequantize("image.pixels.dequantized", image, scale, zero)
    graph.insert_before(first, pixel)
    moved = _emit(graph, first, "Transpose", [pixel.outputs[0]], old, perm=[0, 3, 1, 2])
    _, value = qdq_nodes.quantized(graph, moved, _PIXEL, done, first)
    _, value = qdq_nodes.quantized(graph, value, _WIDE_PIXEL, done, first)
    column = (1, -1, 1, 1)
    for name, kind, constant, reached in (
        ("factor", "Mul", factor.reshape(column), np.array([0.0, 255 * factor.max()])),
        ("offset", "Add", offset.reshape(column), np.array([offset.min(), (offset + 255 * factor).max()])),
    ):
        known = _constant(graph, f"image.{name}", constant, first)
        result = _emit(graph, first, kind, [value, known], old)
        _, value = qdq_nodes.quantized(graph, result, _grid(reached), done, first)
    if preprocess.color == "bgr":
        order = qdq_nodes.initializer(
            graph, "image.order", np.arange(len(factor), dtype=np.int64)[::-1].copy()
        )
        result = _emit(graph, first, "Gather", [value, order], old, axis=1)
        _, value = qdq_nodes.quantized(graph, result, _grid(reached), done, first)
    for node, index in readers:
        node.replace_input_with(index, value)
    graph.inputs[0] = image


def _grid(reached: NDArray[np.float64]) -> QuantParams:
    """uint16 over what is reached, with 0 on it."""
    low, high = min(float(reached.min()), 0.0), max(float(reached.max()), 0.0)
    scale = (high - low) / 65535 or 1.0
    return QuantParams("uint16", (scale,), (round(-low / scale),))


def _constant(graph: ir.Graph, name: str, real: NDArray[np.float64], reader: ir.Node) -> ir.Value:
    import numpy as np

    return qdq_nodes.constant(graph, name, np.asarray(real, np.float32), _grid(real), reader)


def _emit(
    graph: ir.Graph,
    before: ir.Node,
    kind: str,
    inputs: list[ir.Value],
    like: ir.Value,
    **attributes: int | list[int],
) -> ir.Value:
    import onnx_ir as ir

    node = ir.node(kind, inputs, attributes, name=f"{NORMALISED}/{kind}")
    out = node.outputs[0]
    out.name, out.type, out.shape = f"image.{kind.lower()}", like.type, like.shape
    graph.insert_before(before, node)
    return out
