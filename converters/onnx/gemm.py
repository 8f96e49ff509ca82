"""A linear layer in integers: a Gemm between DequantizeLinear nodes, which ONNX Runtime makes QGemm of.

QGemm adds an int32 bias within the kernel and gives float32. A MatMul and an Add behind it would be two
operators, the second a pass over the whole output. The price are two Reshapes, which copy nothing, where there
are more axes than two.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from converters.onnx import qdq_nodes
from edgevit.core import metadata_keys
from edgevit.core.errors import UnsupportedError

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

    # integers -> their real values as a matrix
    Matrices = dict[ir.Value, ir.Value]


def multiply(
    graph: ir.Graph,
    site: str,
    nodes: tuple[ir.Node, ir.Node],
    integers: ir.Value,
    weight: ir.Value,
    bias: ir.Value | None,
    done: Matrices,
) -> ir.Node:
    """Put a Gemm in the place of a MatMul and the Add behind it.

    Args:
        nodes: the MatMul, and the site's last node: the Add of its bias, or the MatMul again.
        integers: what QuantizeLinear made of the input, (..., input channels).
        weight: real values behind DequantizeLinear, (input channels, output channels).
        bias: the same, (output channels,).

    Returns:
        The node that makes the site's output.
    """
    import onnx_ir as ir

    main, last = nodes
    old = last.outputs[0]
    if integers.shape is None or old.shape is None:
        raise UnsupportedError(
            f"site {site}: the shapes of its input and output are not known",
            "leave that layer out of the plan, or leave onnx out of --to",
        )
    inputs, outputs = _sizes(integers.shape), _sizes(old.shape)
    if integers not in done:
        done[integers] = _matrix(graph, integers, inputs, main)
    made = ir.node("Gemm", [done[integers], weight, *([] if bias is None else [bias])], name=f"{site}/Gemm")
    product = made.outputs[0]
    product.name, product.type = f"{site}.gemm", old.type
    product.shape = ir.Shape([math.prod(outputs[:-1]), outputs[-1]])
    news = [made]
    if len(outputs) != 2:
        shape = qdq_nodes.initializer(graph, f"{site}.shape", _int64(outputs))
        news.append(ir.node("Reshape", [product, shape], name=f"{site}/Reshape"))
    for node in news:
        node.metadata_props[metadata_keys.SITE] = site
    graph.insert_before(main, news)
    new = news[-1].outputs[0]
    new.type, new.shape = old.type, old.shape
    for reader, index in list(old.uses()):
        reader.replace_input_with(index, new)
    qdq_nodes.take_place(graph, old, new, "float")
    graph.remove([last] if last is main else [last, main], safe=True)
    return news[-1]


def _matrix(graph: ir.Graph, integers: ir.Value, sizes: tuple[int, ...], reader: ir.Node) -> ir.Value:
    """The real values as (rows, channels); the integers are reshaped, so that they stay next to the Gemm."""
    import onnx_ir as ir

    maker = integers.producer()
    assert maker is not None and maker.op_type == "QuantizeLinear"
    _, scale, zero = maker.inputs
    assert scale is not None and zero is not None
    flat, nodes = integers, []
    if len(sizes) != 2:
        matrix = (math.prod(sizes[:-1]), sizes[-1])
        shape = qdq_nodes.initializer(graph, f"{integers.name}.rows", _int64(matrix))
        nodes.append(ir.node("Reshape", [integers, shape], name=f"{integers.name}/Reshape"))
        flat = nodes[0].outputs[0]
        flat.name, flat.type, flat.shape = f"{integers.name}.matrix", integers.type, ir.Shape(matrix)
    real = qdq_nodes.dequantize(f"{flat.name}.dequantized", flat, scale, zero)
    graph.insert_before(reader, [*nodes, real])
    return real.outputs[0]


def _sizes(shape: ir.Shape) -> tuple[int, ...]:
    return tuple(int(size) for size in shape.numpy())


def _int64(sizes: tuple[int, ...]) -> NDArray[np.int64]:
    import numpy as np

    return np.asarray(sizes, np.int64)
