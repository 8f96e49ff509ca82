"""Integers are joined instead of floats: rounding a Concat is rounding what goes into it, on the same grid.

A Concat then copies a quarter of the bytes, and a SiLU before it ends in integers (`silu`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from converters.onnx import qdq_nodes
from edgevit.core.quant_params import QuantParams

if TYPE_CHECKING:
    import onnx_ir as ir

    from converters.onnx.qdq_nodes import Quantized


def join_integers(graph: ir.Graph, done: Quantized) -> None:
    """Move each QuantizeLinear that alone reads a Concat to the Concat's inputs.

    Args:
        done: (value, grid) -> its integer and real value; takes the inputs' and keeps the joined one's.
    """
    for (value, params), (integers, _) in tuple(done.items()):
        concat, down = value.producer(), integers.producer()
        if concat is None or concat.op_type != "Concat" or down is None or params.axis is not None:
            continue
        if [node for node, _ in value.uses()] == [down] and not value.is_graph_output():
            _move(graph, concat, down, params, done)


def _move(graph: ir.Graph, concat: ir.Node, down: ir.Node, params: QuantParams, done: Quantized) -> None:
    import onnx_ir as ir

    parts = []
    for part in concat.inputs:
        assert part is not None
        parts.append(qdq_nodes.quantized(graph, part, params, done, concat)[0])
    joined = ir.node(
        "Concat", parts, dict(concat.attributes), name=concat.name, metadata_props=dict(concat.metadata_props)
    )
    old, new = down.outputs[0], joined.outputs[0]
    new.type, new.shape = old.type, old.shape
    graph.insert_after(concat, joined)
    for reader, index in list(old.uses()):
        reader.replace_input_with(index, new)
    qdq_nodes.take_place(graph, old, new, "float")
    graph.remove([down, concat], safe=True)
    for key, (integers, real) in done.items():
        if integers is old:
            done[key] = (new, real)
