"""What ONNX Runtime does not execute is named: the operator, the node, and where in the model it is from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper

from edgevit.core.errors import EdgevitError, InputError, StepError, UnsupportedError
from edgevit.core.runner import RunOptions
from edgevit.core.types import Preprocess
from edgevit.runtimes._onnxruntime.runner import open_runner
from edgevit.steps.inspect import ArtifactRequest, artifact
from tests import _command

OPTIONS = RunOptions(1, (), Preprocess(8, 8, (8, 8)))
TRACE = """File "/opt/lib/python3.11/site-packages/torch/nn/modules/module.py", line 7, in _call_impl
  return forward()
File "/code/net.py", line 41, in forward
  return special(x)
"""


def written(path: Path, *nodes: NodeProto, opset: int = 17, kind: int = TensorProto.FLOAT) -> Path:
    """A file of these nodes, from `image` to `x`, and a Cast, a pooling and a Reshape behind them."""
    tail = (
        helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT),
        helper.make_node("GlobalAveragePool", ["y"], ["p"]),
        helper.make_node("Reshape", ["p", "shape"], ["logits"], name="reshape"),
    )
    constants = [
        helper.make_tensor("shape", TensorProto.INT64, [2], [1, 3]),
        helper.make_tensor("weight", kind, [3, 3, 1, 1], [1.0] * 9),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])
    graph = helper.make_graph([*nodes, *tail], "g", [image], [logits], constants)
    domains = [helper.make_opsetid("", opset), helper.make_opsetid("com.acme", 1)]
    onnx.save(helper.make_model(graph, opset_imports=domains, ir_version=8), path)
    return path


def custom(**metadata: str) -> NodeProto:
    node = helper.make_node("Special", ["image"], ["x"], name="blocks.3/Special", domain="com.acme")
    for key, value in metadata.items():
        node.metadata_props.add(key=key.replace("__", "."), value=value)
    return node


@pytest.mark.parametrize(
    ("metadata", "where"),
    [
        ({}, "node 'blocks.3/Special'"),
        ({"edgevit__site": "blocks.3.act:other"}, "node 'blocks.3/Special', site 'blocks.3.act:other'"),
        ({"pkg__torch__onnx__stack_trace": TRACE}, "node 'blocks.3/Special', at /code/net.py:41"),
        (
            {"pkg__torch__onnx__name_scopes": "['', 'blocks.3', 'blocks.3.act', 'special']"},
            "node 'blocks.3/Special', of the module 'blocks.3.act'",
        ),
    ],
)
def test_an_operator_of_another_domain(tmp_path: Path, metadata: dict[str, str], where: str) -> None:
    path = written(tmp_path / "model.onnx", custom(**metadata))
    with pytest.raises(UnsupportedError) as caught:
        open_runner(path, OPTIONS)
    assert caught.value.message.endswith(f"it is the operator com.acme.Special, {where}")
    assert "custom operators are not loaded" in caught.value.hint


@pytest.mark.parametrize(
    ("node", "kind", "error", "named"),
    [
        (helper.make_node("Frob", ["image"], ["x"], name="n7"), 1, UnsupportedError, "Frob, node 'n7'"),
        (helper.make_node("Frob", ["image"], ["x"]), 1, UnsupportedError, "the operator Frob"),
        (helper.make_node("Relu", ["image"], ["x"], name="act", frob=1), 1, InputError, "Relu, node 'act'"),
        (
            helper.make_node("Conv", ["image", "weight"], ["x"], name="stem"),
            7,
            InputError,
            "Conv, node 'stem'",
        ),
        (helper.make_node("MatMul", ["image", "weight"], ["x"], name="q"), 1, InputError, "MatMul, node 'q'"),
    ],
)
def test_a_node_that_is_wrong(
    tmp_path: Path, node: NodeProto, kind: int, error: type[EdgevitError], named: str
) -> None:
    with pytest.raises(error) as caught:
        open_runner(written(tmp_path / "model.onnx", node, kind=kind), OPTIONS)
    assert caught.value.message.endswith(named)


def test_a_node_that_fails_as_it_runs(tmp_path: Path) -> None:
    """The shape follows from the pixels, so that nobody can know it before."""
    nodes = (
        helper.make_node("ReduceMax", ["image"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["many"], to=TensorProto.INT64),
        helper.make_node("Mul", ["many", "shape"], ["sizes"]),
        helper.make_node("Reshape", ["image", "sizes"], ["x"], name="blocks.1/Reshape"),
    )
    path = written(tmp_path / "model.onnx", *nodes)
    with open_runner(path, OPTIONS) as runner, pytest.raises(StepError) as caught:
        runner.run(np.full((1, 8, 8, 3), 255, np.uint8))
    assert caught.value.message.endswith("it is the operator Reshape, node 'blocks.1/Reshape'")


def test_what_cannot_be_executed_is_looked_into_all_the_same(tmp_path: Path) -> None:
    path = written(tmp_path / "model.onnx", custom(edgevit__site="a.b:other"))
    found = artifact(ArtifactRequest(str(path)), lambda event: None)
    assert found.operators == {"Special": 1, "Cast": 1, "GlobalAveragePool": 1, "Reshape": 1}
    assert found.integer_macs is None
    assert "com.acme.Special, node 'blocks.3/Special', site 'a.b:other'" in found.warnings[0]


def test_profile_says_it_with_the_code_of_what_cannot_be_done(tmp_path: Path) -> None:
    done = _command.edgevit("profile", written(tmp_path / "model.onnx", custom(edgevit__site="a.b:other")))
    assert done.returncode == 3
    assert "com.acme.Special, node 'blocks.3/Special', site 'a.b:other'" in done.stderr
