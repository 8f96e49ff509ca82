"""SiLU in integers: ONNX Runtime makes a table and a product of bytes of it (QLinearSigmoid, QLinearMul).

They take two thirds of the time of the float operator with a DequantizeLinear before and a QuantizeLinear
behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from converters.onnx import qdq_nodes
from edgevit.core.errors import UnsupportedError
from edgevit.core.quant_params import QuantParams

if TYPE_CHECKING:
    import onnx_ir as ir

    from converters.onnx.qdq_nodes import Quantized


def quantize_sigmoid(
    graph: ir.Graph, site: str, real: ir.Value, params: QuantParams, done: Quantized
) -> None:
    """Round the sigmoid of the x * sigmoid(x) that alone reads `real`, the dequantized output of `site`.

    Args:
        done: takes the new grid.

    Raises:
        UnsupportedError: something else reads `real`.
    """
    readers = [node for node, _ in real.uses()]
    sigmoids = [node for node in readers if node.op_type == "Sigmoid"]
    products = [node for sigmoid in sigmoids for node, _ in sigmoid.outputs[0].uses()]
    if len(sigmoids) != 1 or len(products) != 1 or {*readers} != {*sigmoids, *products}:
        raise UnsupportedError(
            f"site {site}: the plan has a SiLU in integers behind it, the ONNX model does not",
            'write "sigmoid": null there, or make the plan again',
        )
    part = sigmoids[0].outputs[0]
    _, rounded = qdq_nodes.quantized(graph, part, params, done, None)
    products[0].replace_input_with(list(products[0].inputs).index(part), rounded)
