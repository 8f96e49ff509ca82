"""Which nodes of a float16 file compute in float32, on a graph built by hand."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from converters.onnx import half
from edgevit.core import metadata_keys


def _model() -> ir.Model:
    """x -> first -> Split without a site -> second, third."""
    float32 = ir.TensorType(ir.DataType.FLOAT)
    x = ir.Value(name="x", type=float32, shape=ir.Shape([4]))
    sizes = ir.Value(name="sizes", const_value=ir.tensor(np.array([2, 2], np.int64), name="sizes"))
    first = ir.node("Relu", [x], name="first", metadata_props={metadata_keys.SITE: "first"})
    split = ir.node("Split", [first.outputs[0], sizes], {"axis": 0}, num_outputs=2, name="split")
    ends = [
        ir.node("Relu", [value], name=name, metadata_props={metadata_keys.SITE: name})
        for value, name in zip(split.outputs, ("second", "third"), strict=True)
    ]
    nodes = [first, split, *ends]
    for node in nodes:
        for index, value in enumerate(node.outputs):
            value.name, value.type = f"{node.name}.{index}", float32
    outputs = [node.outputs[0] for node in ends]
    graph = ir.Graph([x], outputs, nodes=nodes, initializers=[sizes], opset_imports={"": 20}, name="small")
    return ir.Model(graph, ir_version=9)


def _types(keep: set[str]) -> dict[str, ir.DataType | None]:
    model = _model()
    half.to_half(model, keep)
    return {
        str(n.name): n.inputs[0].dtype for n in model.graph if n.op_type != "Cast" and n.inputs[0] is not None
    }


def test_a_node_without_a_site_follows_the_kept_one_that_it_reads() -> None:
    assert set(_types({"first", "second", "third"}).values()) == {ir.DataType.FLOAT}
    kept = _types({"first", "second"})
    assert kept["split"] == kept["second"] == ir.DataType.FLOAT and kept["third"] == ir.DataType.FLOAT16


def test_it_is_float16_behind_one_that_is() -> None:
    assert _types({"second"})["split"] == ir.DataType.FLOAT16
    assert _types(set())["split"] == ir.DataType.FLOAT16
