"""Operators under the modules of the model, by names as ONNX Runtime and LiteRT give them."""

from __future__ import annotations

import pytest

from edgevit.core.results.device import OperatorTime
from edgevit.core.results.profile import ModuleTime
from edgevit.validate.operator_times import block_of, by_module, sites_of

# Tensor -> site as an .onnx file of ours has them, in its order.
ONNX = {
    "conv2d": "patch_embed.proj:conv",
    "add": ":add",
    "layer_norm": "blocks.0.norm1:layer_norm",
    "linear": "blocks.0.attn.qkv:linear",
    "permute": "blocks.0.attn:permute",
    "matmul": "blocks.0.attn:qk",
    "linear_1": "blocks.0.attn.proj:linear",
    "add_1": "blocks.0:add",
    "layer_norm_1": "blocks.0.norm2:layer_norm",
    "linear_2": "blocks.0.mlp.fc1:linear",
    "gelu": "blocks.0.mlp.act:gelu",
    "linear_3": "blocks.0.mlp.fc2:linear",
    "add_2": "blocks.0:add.1",
    "layer_norm_2": "norm:layer_norm",
    "logits": "head:linear",
}
TFLITE = {
    "stem.conv:conv;2/int8": "stem.conv:conv",
    "stages.0.0:add;": "stages.0.0:add",
    "stages.0.0.act:silu;;stem.act:silu;": "stages.0.0.act:silu",
    "logits": "logits",
}


@pytest.mark.parametrize(
    ("operator", "site"),
    [
        ("conv2d_nchwc", "patch_embed.proj:conv"),
        ("InsertedPrecisionFreeCast_conv2d", "patch_embed.proj:conv"),
        ("InsertedPrecisionFreeCast_conv2d_nchwc", "patch_embed.proj:conv"),
        (":add/Add", ":add"),
        ("blocks.0.attn.qkv:linear/Gemm", "blocks.0.attn.qkv:linear"),
        ("blocks.0.mlp.act:gelu/QuickGeluFusion/", "blocks.0.mlp.act:gelu"),
        ("layer_norm_1/QuantizeLinear", "blocks.0.norm2:layer_norm"),
        ("layer_norm_1.quantized/Reshape", "blocks.0.norm2:layer_norm"),
        ("linear_2_token_7", "blocks.0.mlp.fc1:linear"),
        ("logits/Cast", "head:linear"),
    ],
)
def test_what_onnx_runtime_calls_an_operator_says_its_site(operator: str, site: str) -> None:
    assert sites_of([operator], ONNX) == [site]


@pytest.mark.parametrize(
    ("operator", "site"),
    [
        ("stem.conv:conv;2/int8", "stem.conv:conv"),
        ("stages.0.0:add;", "stages.0.0:add"),
        ("stages.0.0.act:silu;;stem.act:silu;", "stages.0.0.act:silu"),
        ("stem.conv:conv/steps", "stem.conv:conv"),
        ("stem.conv:conv;2#3", "stem.conv:conv"),
        ("logits", "logits"),
    ],
)
def test_what_litert_calls_an_operator_says_its_site(operator: str, site: str) -> None:
    assert sites_of([operator], TFLITE) == [site]


def test_what_a_runtime_inserted_belongs_between_its_neighbours() -> None:
    operators = {
        "ReorderOutput": "patch_embed.proj:conv",
        "conv2d_nchwc": "patch_embed.proj:conv",
        ":add/Add": ":add",
        "gemm_input_reshape": "blocks.0.attn.qkv:linear",
        "blocks.0.attn.qkv:linear/Gemm": "blocks.0.attn.qkv:linear",
        "gemm_output_reshape": "blocks.0.attn.qkv:linear",
        "Split.channels": "blocks.0.attn:permute",
        "blocks.0.attn:qk/MatMul": "blocks.0.attn:qk",
        "linear_1/MatMul": "blocks.0.attn.proj:linear",
        "SkipLayerNormalization": "blocks.0.norm2:layer_norm",
        "linear_2/MatMul": "blocks.0.mlp.fc1:linear",
        "gemm_output_reshape_token_9": "blocks.0.mlp.fc1:linear",
        "Erf_70": "blocks.0.mlp.act:gelu",
        "Mul_71": "blocks.0.mlp.act:gelu",
        "linear_3/MatMul": "blocks.0.mlp.fc2:linear",
        "SkipLayerNormalization_token_3": "norm:layer_norm",
        "logits/Gemm": "head:linear",
        "Cast_99": "head:linear",
    }
    assert sites_of(list(operators), ONNX) == list(operators.values())


def test_a_number_behind_a_tensor_makes_another_tensor() -> None:
    assert sites_of(["gelu/Mul", "add_7/Add", "linear_3"], ONNX)[1] != ":add"


def test_times_are_added_up_in_the_order_of_execution() -> None:
    operators = [
        OperatorTime("conv2d_nchwc", "Conv", "cpu", 1.0),
        OperatorTime(":add/Add", "Add", "cpu", 0.5),
        OperatorTime("blocks.0.attn.qkv:linear/Gemm", "Gemm", "cpu", 2.0),
        OperatorTime("blocks.0.attn:qk/MatMul", "MatMul", "cpu", 0.5),
        OperatorTime("add_1/Add", "Add", "cpu", 1.0),
    ]
    assert by_module(operators, ONNX) == (
        ModuleTime("patch_embed", 1.0, 0.2),
        ModuleTime("", 0.5, 0.1),
        ModuleTime("blocks.0.attn", 2.5, 0.5),
        ModuleTime("blocks.0", 1.0, 0.2),
    )


def test_estimated_costs_give_shares_without_times() -> None:
    operators = [
        OperatorTime("add_1", "add", "GPU", None, 0.3),
        OperatorTime("logits", "linear", "CPU", None, 0.1),
    ]
    first, second = by_module(operators, ONNX)
    assert (first.name, first.ms, first.share) == ("blocks.0", None, pytest.approx(0.75))
    assert (second.name, second.ms, second.share) == ("head", None, pytest.approx(0.25))


@pytest.mark.parametrize("sites", [{}, {"model/dense/MatMul;bias": "model/dense/MatMul"}, ONNX])
def test_files_and_programs_that_name_no_modules_get_none(sites: dict[str, str]) -> None:
    operators = [OperatorTime("Convolution (NHWC, F32):3", "Convolution", "delegate", 1.0)]
    assert by_module(operators, sites) == ()


def test_operators_that_take_no_time_have_no_share() -> None:
    assert by_module([OperatorTime("add", "Add", "cpu", 0.0)], ONNX) == (ModuleTime("", 0.0, 0.0),)


@pytest.mark.parametrize(
    ("module", "block"),
    [
        ("blocks.3.attn.qkv", "blocks.3.attn"),
        ("blocks.3", "blocks.3"),
        ("stem.conv", "stem"),
        ("stages.2.1.transformer.0.mlp.fc1", "stages.2.1.transformer.0.mlp"),
        ("head", "head"),
        ("", ""),
    ],
)
def test_blocks_of_modules(module: str, block: str) -> None:
    assert block_of(module) == block
