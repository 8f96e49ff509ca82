"""What ONNX Runtime's float16 kernels compute wrong on ARM stays in float32."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper

from converters.onnx import half
from converters.onnx.half_kernels import wrong_in_float16
from edgevit.core import metadata_keys
from tests._sqnr import sqnr

TOKENS, HEADS = 9, 3


def attention(size: int, rank: int) -> onnx.ModelProto:
    """Of three equal operands; `size` channels in a head."""
    shape = [1, TOKENS, HEADS * size] if rank == 3 else [1, HEADS, TOKENS, size]
    heads = {"q_num_heads": HEADS, "kv_num_heads": HEADS} if rank == 3 else {}
    node = helper.make_node("Attention", ["x", "x", "x"], ["y"], **heads)
    for key, value in (
        (metadata_keys.SITE, "attn:out"),
        (metadata_keys.SITES, ":scores\n:softmax\nattn:out"),
    ):
        node.metadata_props.add(key=key, value=value)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = helper.make_graph([node], "attention", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)


@pytest.mark.parametrize(
    ("size", "rank", "wrong"),
    [
        *((4, 3, True), (12, 4, True), (20, 3, True), (28, 3, True)),
        *((8, 3, False), (16, 4, False), (18, 3, False), (24, 3, False), (30, 3, False), (64, 4, False)),
    ],
)
def test_heads_that_leave_four_channels_stay_in_float32(size: int, rank: int, wrong: bool) -> None:
    written = attention(size, rank)
    found = wrong_in_float16(ir.from_proto(written))
    assert [kept.site for kept in found] == (["attn:out"] if wrong else [])
    assert all(f"4 of the {size} channels" in kept.reason for kept in found)
    model = ir.from_proto(written)
    half.to_half(model, frozenset(kept.site for kept in found))
    (node,) = [node for node in model.graph if node.op_type == "Attention"]
    assert node.outputs[0].dtype == (ir.DataType.FLOAT if wrong else ir.DataType.FLOAT16)
    shape = [axis.dim_value for axis in written.graph.input[0].type.tensor_type.shape.dim]
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    here, there = (_run(proto, image) for proto in (written, ir.to_proto(model)))
    assert sqnr(here, there) > 55


def _run(model: onnx.ModelProto, image: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {"x": image})[0]
    return found
