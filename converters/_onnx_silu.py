"""SiLU between integer convolutions in integers: a table for the sigmoid, and a product of 8 by 8 bits.

ONNX Runtime makes QLinearSigmoid and QLinearMul of it, which take two thirds of the time of the float
operator with a DequantizeLinear before and a QuantizeLinear behind it. A sigmoid lies between 0 and 1, so that
steps of 1/256 err by 1/887 of the product's other factor (root mean square): a quarter of what the 8 bits of
that factor do where its largest value is four times its usual one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from converters import _onnx_nodes
from edgevit.core.plans import Grid

if TYPE_CHECKING:
    import onnx_ir as ir

    from converters._onnx_nodes import Quantized

GRID: Final = Grid("uint8", (1 / 256,), (0,))


def to_integers(graph: ir.Graph, real: ir.Value, done: Quantized) -> bool:
    """Quantize the sigmoid of x * sigmoid(x), where x comes from integers and the product only goes into them.

    Args:
        real: x, behind DequantizeLinear.
        done: takes the new grid.

    Returns:
        Whether there is such a product, and nothing else reads x.
    """
    readers = [node for node, _ in real.uses()]
    gates = [node for node in readers if node.op_type == "Sigmoid"]
    if len(gates) != 1 or len(readers) != 2:
        return False
    (gate,) = gates
    part = gate.outputs[0]
    products = [node for node, _ in part.uses()]
    if len(products) != 1 or products[0].op_type != "Mul" or products[0] not in readers:
        return False
    into = [node.op_type for node, _ in products[0].outputs[0].uses()]
    if not into or set(into) != {"QuantizeLinear"}:
        return False
    _, rounded = _onnx_nodes.quantized(graph, part, GRID, done, None)
    products[0].replace_input_with(list(products[0].inputs).index(part), rounded)
    return True
