"""The module of an operator, by names as edgevit and the exporters of others write them."""

from __future__ import annotations

import pytest

from edgevit.accelerators import _modules
from edgevit.accelerators._operators import Operand, Operator
from edgevit.accelerators._partitions import delegated

TORCH = "torch.nn.modules"


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("blocks.3.attn@1:qk;2", "blocks.3.attn"),
        ("stem.conv:conv;2/int8", "stem.conv"),
        (":mean;1", ""),
        (f"Vit/{TORCH}.container.Sequential_blocks/Block_0/{TORCH}.linear.Linear_fc1;2", "blocks.0.fc1"),
        ("model/patch_embed/Conv2D;model/patch_embed/BiasAdd", "model/patch_embed"),
        ("arith.constant", None),
    ],
)
def test_a_tensor_of_tflite(name: str, module: str | None) -> None:
    assert _modules.of_tensors([name]) == module


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("/blocks/blocks.0/attn/qkv/MatMul", "blocks.0.attn.qkv"),
        ("/head/Gemm", "head"),
        ("/Add_3", None),
        ("stem:conv/Conv", "stem"),
        ("MatMul_12", None),
    ],
)
def test_a_node_of_onnx(name: str, module: str | None) -> None:
    assert _modules.of_node_name(name) == module


def test_name_scopes_of_torch_onnx() -> None:
    assert _modules.of_name_scopes(["", "blocks", "blocks.0", "blocks.0.attn", "linear_1"]) == "blocks.0.attn"
    assert _modules.of_name_scopes(["linear"]) is None


def chain(*edges: tuple[int, int]) -> list[Operator]:
    """An operator for each (tensor that it reads, tensor that it computes)."""
    tensors = {i: Operand(f"t{i}", (1,), "float32", index=i) for edge in edges for i in edge}
    return [Operator("EXP", f"t{out}", "", (tensors[given],), (tensors[out],)) for given, out in edges]


def test_what_a_runtime_inserted_belongs_to_what_it_follows() -> None:
    named = _modules.with_modules(chain((0, 1), (1, 2), (2, 3)), ["a.b", None, "c"])
    assert [operator.module for operator in named] == ["a.b", "a.b", "c"]
    first = _modules.with_modules(chain((0, 1), (1, 2)), [None, "c"])
    assert [operator.module for operator in first] == ["c", "c"]


def test_a_partition_reaches_past_operators_that_stay() -> None:
    """0 -> 1 -> 2 is one branch, 0 -> 3 -> 4 another, where 3 stays on the CPU; 5 joins none of them.

    By hand: EXP 1, 2 form the first partition, 3 one of the CPU, and 4 the second.
    """
    operators = chain((0, 1), (0, 3), (1, 2), (3, 4))
    supported = [True, False, True, True]
    assert delegated(operators, supported, 1) == {0, 2}
    assert delegated(operators, supported, 2) == {0, 2, 3}
