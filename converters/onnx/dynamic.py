"""A linear layer whose input is quantized at run time: one scale per token, through kernels that take one per tensor.

Each token is divided by its largest magnitude, DynamicQuantizeLinear makes uint8 of all of them with one
scale and zero point, MatMulInteger multiplies, and the result is multiplied by the token's magnitude
again. ONNX Runtime makes DynamicQuantizeMatMul of it (MatMulIntegerToFloat where several layers share
the input). On the activations of a DINOv2 ViT-S a product gains 2 to 5 dB over one scale for all tokens,
behind GELU up to 12, and takes 0.54 to 0.64 of the float product's time. MatMulNBits, with a scale for each
block of a row, is 4 to 6 dB more accurate still, and on x86 slower than float. `python -m
bench.integer_products` times the forms. A plan may ask for one scale for the tensor, which leaves out the
division and one pass over the result.

x86 without VNNI adds pairs of these uint8 x int8 products in 16 bits with saturation, unless the weights
keep the saturation limit (`onnx.saturation_free`), or the session is opened with `session.x64quantprecision=1`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from converters.onnx import qdq_nodes
from edgevit.core import metadata_keys
from edgevit.core.quant_params import DynamicQuantization, QuantParams

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

    # input of linear layers, normalized or not -> (integers, scale, zero point, largest magnitude of each token)
    Entered = dict[tuple[ir.Value, bool], tuple[ir.Value, ir.Value, ir.Value, ir.Value | None]]

PER_TOKEN: Final = DynamicQuantization("uint8", "tensor", symmetric=False, normalized=True)
PER_TENSOR: Final = DynamicQuantization("uint8", "tensor", symmetric=False)
_SMALLEST: Final = 1.1754944e-38  # a token of zeros is divided by this


def multiply(
    graph: ir.Graph,
    site: str,
    main: ir.Node,
    integers: NDArray[np.int8],
    params: QuantParams,
    normalized: bool,
    done: Entered,
) -> ir.Node:
    """Put the integer product in the place of the MatMul `main`; returns the node that makes its result.

    Args:
        integers: int8 (input channels, output channels).
    """
    import numpy as np
    import onnx_ir as ir

    x = main.inputs[0]
    assert x is not None
    if (x, normalized) not in done:
        done[x, normalized] = _enter(graph, x, normalized, main)
    steps, scale, zero, largest = done[x, normalized]
    weight = qdq_nodes.initializer(graph, f"{site}.weight.quantized", integers)
    factors = qdq_nodes.initializer(graph, f"{site}.weight.scale", np.asarray(params.scale, np.float32))
    product = ir.node("MatMulInteger", [steps, weight, zero])
    real = ir.node("Cast", [product.outputs[0]], {"to": ir.DataType.FLOAT})
    both = ir.node("Mul", [scale, factors])
    scaled = ir.node("Mul", [real.outputs[0], both.outputs[0]])
    nodes = [product, real, both, scaled]
    if largest is not None:
        nodes.append(ir.node("Mul", [scaled.outputs[0], largest]))
    last = nodes[-1]
    old, new = main.outputs[0], last.outputs[0]
    for node, name in zip(nodes, ("MatMulInteger", "Cast", "Mul.scales", "Mul", "Mul.token"), strict=False):
        node.name, node.outputs[0].name = f"{site}/{name}", f"{site}.{name}"
        node.outputs[0].type = ir.TensorType(ir.DataType.INT32 if node is product else ir.DataType.FLOAT)
        node.metadata_props[metadata_keys.SITE] = site
        node.outputs[0].shape = ir.Shape([integers.shape[1]]) if node is both else old.shape
    graph.insert_before(main, nodes)
    for reader, index in list(old.uses()):
        reader.replace_input_with(index, new)
    qdq_nodes.take_place(graph, old, new, "float")
    graph.remove(main, safe=True)
    return last


def _enter(
    graph: ir.Graph, x: ir.Value, normalized: bool, reader: ir.Node
) -> tuple[ir.Value, ir.Value, ir.Value, ir.Value | None]:
    """Integers of `x`, their scale and zero point, and what each token was divided by."""
    import onnx_ir as ir

    nodes, divided, largest = _normalise(graph, x) if normalized else ([], x, None)
    down = ir.node("DynamicQuantizeLinear", [divided], num_outputs=3)
    stem = f"{x.name}.token" if normalized else f"{x.name}.tensor"
    down.name = f"{stem}/DynamicQuantizeLinear"
    integer, real = ir.TensorType(ir.DataType.UINT8), ir.TensorType(ir.DataType.FLOAT)
    for value, name, kind, shape in zip(
        down.outputs,
        ("quantized", "scale", "zero_point"),
        (integer, real, integer),
        (x.shape, ir.Shape([]), ir.Shape([])),
        strict=True,
    ):
        value.name, value.type, value.shape = f"{stem}.{name}", kind, shape
    producer = x.producer()
    if producer is None:
        graph.insert_before(reader, [*nodes, down])
    else:
        graph.insert_after(producer, [*nodes, down])
    return down.outputs[0], down.outputs[1], down.outputs[2], largest


def _normalise(graph: ir.Graph, x: ir.Value) -> tuple[list[ir.Node], ir.Value, ir.Value]:
    """Nodes that divide each token by its largest magnitude, the quotient, and the magnitude."""
    import numpy as np
    import onnx_ir as ir

    axis = qdq_nodes.initializer(graph, f"{x.name}.token.axis", np.asarray([-1], np.int64))
    floor = qdq_nodes.initializer(graph, f"{x.name}.token.floor", np.asarray(_SMALLEST, np.float32))
    size = ir.node("Abs", [x])
    peak = ir.node("ReduceMax", [size.outputs[0], axis], {"keepdims": 1})
    largest = ir.node("Max", [peak.outputs[0], floor])
    divided = ir.node("Div", [x, largest.outputs[0]])
    nodes = [size, peak, largest, divided]
    token = None if x.shape is None else ir.Shape([*x.shape[:-1], 1])
    for node, shape in zip(nodes, (x.shape, token, token, x.shape), strict=True):
        value = node.outputs[0]
        node.name, value.name = f"{x.name}/{node.op_type}", f"{x.name}.token.{node.op_type}"
        value.type, value.shape = ir.TensorType(ir.DataType.FLOAT), shape
    return nodes, divided.outputs[0], largest.outputs[0]
