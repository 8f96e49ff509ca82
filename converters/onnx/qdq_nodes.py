"""The nodes that carry integers: QuantizeLinear, DequantizeLinear, and constants behind them."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from edgevit.core.quant_params import LIMITS, QuantParams

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

    # (value, grid) -> its integer and its dequantized value
    Quantized = dict[tuple[ir.Value, QuantParams], tuple[ir.Value, ir.Value]]


def take_place(graph: ir.Graph, old: ir.Value, new: ir.Value, suffix: str) -> None:
    """Let `new` carry the name of `old`, and be the graph output that `old` was; `old` gets a suffix."""
    name = old.name
    old.name, new.name = f"{name}.{suffix}", name
    if old.is_graph_output():
        graph.outputs[list(graph.outputs).index(old)] = new


def quantized(
    graph: ir.Graph, value: ir.Value, params: QuantParams, done: Quantized, reader: ir.Node | None
) -> tuple[ir.Value, ir.Value]:
    """QuantizeLinear and DequantizeLinear of `value`, once per grid."""
    import numpy as np
    import onnx_ir as ir

    key = (value, params)
    if key in done:
        return done[key]
    number = sum(1 for other, _ in done if other is value)
    stem = f"{value.name}.{number}" if number else str(value.name)
    scale = initializer(graph, f"{stem}.scale", np.asarray(params.scale[0], np.float32))
    zero = initializer(graph, f"{stem}.zero_point", np.asarray(params.zero_point[0], params.dtype))
    down = ir.node("QuantizeLinear", [value, scale, zero], name=f"{stem}/QuantizeLinear")
    integer = down.outputs[0]
    integer.name, integer.type, integer.shape = (
        f"{stem}.quantized",
        ir.TensorType(ir.DataType[params.dtype.upper()]),
        value.shape,
    )
    up = dequantize(f"{stem}.dequantized", integer, scale, zero)
    real = up.outputs[0]
    producer = value.producer()
    if producer is not None:
        graph.insert_after(producer, [down, up])
    else:
        assert reader is not None
        graph.insert_before(reader, [down, up])
    done[key] = (integer, real)
    return integer, real


def dequantize(name: str, integers: ir.Value, scale: ir.Value, zero: ir.Value) -> ir.Node:
    """A DequantizeLinear of one grid that is not in a graph yet; `name` is its output's."""
    import onnx_ir as ir

    stem = name.removesuffix(".dequantized")
    node = ir.node("DequantizeLinear", [integers, scale, zero], name=f"{stem}/DequantizeLinear")
    out = node.outputs[0]
    out.name, out.type, out.shape = name, ir.TensorType(ir.DataType.FLOAT), integers.shape
    return node


def share(graph: ir.Graph, real: ir.Value, sites: Collection[ir.Node]) -> None:
    """Let several float readers of a dequantized value read one copy of it, behind a Sum of one input.

    The nodes of weighted `sites` and QuantizeLinear keep reading `real` itself: that is their pattern.
    """
    import onnx_ir as ir

    readers = [
        (node, index) for node, index in real.uses() if node.op_type != "QuantizeLinear" and node not in sites
    ]
    if len({node for node, _ in readers}) < 2:
        return
    node = ir.node("Sum", [real], name=f"{real.name}/Sum")
    copy = node.outputs[0]
    copy.name, copy.type, copy.shape = f"{real.name}.shared", real.type, real.shape
    producer = real.producer()
    assert producer is not None
    graph.insert_after(producer, node)
    for reader, index in readers:
        reader.replace_input_with(index, copy)


def dequantized(
    graph: ir.Graph,
    name: str,
    integers: NDArray[np.generic],
    params: QuantParams,
    axis: int | None,
    reader: ir.Node,
) -> ir.Value:
    """Store integers with their scales, and a DequantizeLinear in front of `reader`; the real value."""
    import numpy as np
    import onnx_ir as ir

    per_tensor = axis is None
    shape = () if per_tensor else (-1,)
    scale = initializer(graph, f"{name}.scale", np.asarray(params.scale, np.float32).reshape(shape))
    zero = initializer(
        graph, f"{name}.zero_point", np.asarray(params.zero_point, params.dtype).reshape(shape)
    )
    stored = initializer(graph, f"{name}.quantized", integers)
    attributes = {} if axis is None else {"axis": axis}
    node = ir.node("DequantizeLinear", [stored, scale, zero], attributes, name=f"{name}/DequantizeLinear")
    out = node.outputs[0]
    out.name, out.type, out.shape = f"{name}.dequantized", ir.TensorType(ir.DataType.FLOAT), stored.shape
    graph.insert_before(reader, node)
    return out


def constant(
    graph: ir.Graph, name: str, real: NDArray[np.float32], params: QuantParams, reader: ir.Node
) -> ir.Value:
    """Round a constant to a grid per tensor and store it so; the real value in front of `reader`."""
    import numpy as np

    low, high = LIMITS[params.dtype]
    steps = np.round(real / np.float32(params.scale[0])) + params.zero_point[0]
    return dequantized(graph, name, np.clip(steps, low, high).astype(params.dtype), params, None, reader)


def folded(
    graph: ir.Graph,
    name: str,
    integers: NDArray[np.generic],
    params: QuantParams,
    axis: int | None,
    reader: ir.Node,
) -> ir.Value:
    """Integers, Cast and Mul: a constant expression, folded to float weights when the file is loaded.

    With blocks, `integers` (input channels, output channels) are stored as (blocks, block, output
    channels) and reshaped behind the Mul. int4 is stored in half a byte each, its scales in float16 where
    that type holds all of them exactly.
    """
    import ml_dtypes
    import numpy as np
    import onnx_ir as ir

    scale: NDArray[np.floating[Any]] = np.asarray(params.scale, np.float32)
    if params.block is None:
        scale = scale.reshape([-1 if index == axis else 1 for index in range(integers.ndim)])
        parts = integers
    else:
        parts = integers.reshape(-1, params.block, integers.shape[1])
        scale = np.ascontiguousarray(scale.reshape(integers.shape[1], -1).T)[:, None]
    if params.dtype == "int4":
        parts = parts.astype(ml_dtypes.int4)
        half = scale.astype(np.float16)
        scale = half if (half.astype(np.float32) == scale).all() else scale
    stored = initializer(graph, f"{name}.quantized", parts)
    factor = initializer(graph, f"{name}.scale", scale)
    steps = ir.node("Cast", [stored], {"to": ir.DataType.FLOAT}, name=f"{name}/Cast")
    nodes = [(steps, "steps", parts.shape)]
    if scale.dtype == np.float16:
        wide = ir.node("Cast", [factor], {"to": ir.DataType.FLOAT}, name=f"{name}/Cast.scale")
        nodes.append((wide, "scale.float32", scale.shape))
        factor = wide.outputs[0]
    real = ir.node("Mul", [steps.outputs[0], factor], name=f"{name}/Mul")
    nodes.append((real, "dequantized", parts.shape))
    if params.block is not None:
        shape = initializer(graph, f"{name}.shape", np.asarray(integers.shape, np.int64))
        real = ir.node("Reshape", [real.outputs[0], shape], name=f"{name}/Reshape")
        nodes.append((real, "reshaped", integers.shape))
    for node, suffix, size in nodes:
        value = node.outputs[0]
        value.name, value.type = f"{name}.{suffix}", ir.TensorType(ir.DataType.FLOAT)
        value.shape = ir.Shape(size)
    graph.insert_before(reader, [node for node, _, _ in nodes])
    return real.outputs[0]


def initializer(graph: ir.Graph, name: str, array: NDArray[np.generic]) -> ir.Value:
    """Store an array in the graph; its value."""
    import onnx_ir as ir

    tensor = ir.tensor(array, name=name)
    value = ir.Value(
        name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor
    )
    graph.register_initializer(value)
    return value
