"""Grids against numbers computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgevit.core.quant_params import DynamicQuantization, QuantParams
from edgevit.quant import _affine


def test_an_asymmetric_grid_by_hand() -> None:
    # 255 steps of 0.0625 from -1 to 14.9375; zero is step 16
    assert _affine.activation_params(-1.0, 14.9375, "uint8", "float32") == QuantParams(
        "uint8", (0.0625,), (16,)
    )
    assert _affine.activation_params(-1.0, 14.9375, "int8", "float32") == QuantParams(
        "int8", (0.0625,), (-112,)
    )


@pytest.mark.parametrize(
    ("low", "high"), [(0.5, 3.0), (-4.0, -1.0), (0.0, 0.0), (-0.3, 7.7), (-1e-30, 1e-30)]
)
@pytest.mark.parametrize("scale_dtype", ["float32", "float16"])
def test_zero_is_exact_and_uint8_equals_int8_shifted(low: float, high: float, scale_dtype: str) -> None:
    assert scale_dtype in ("float32", "float16")
    kind = "float16" if scale_dtype == "float16" else "float32"
    wide = _affine.activation_params(low, high, "uint8", kind)
    signed = _affine.activation_params(low, high, "int8", kind)
    assert wide.scale == signed.scale and wide.zero_point[0] - 128 == signed.zero_point[0]
    assert float(np.dtype(kind).type(wide.scale[0])) == wide.scale[0] > 0
    assert 255 * wide.scale[0] >= max(high, 0) - min(low, 0)
    values = torch.cat([torch.zeros(1), torch.linspace(low, high, 50)])
    real = _affine.dequantize(_affine.quantize(values, wide), wide)
    assert real[0] == 0
    assert torch.equal(real, _affine.dequantize(_affine.quantize(values, signed), signed))
    assert float((real - values).abs().max()) <= 1.001 * wide.scale[0]


def test_quantize_equals_pytorch_and_rounds_half_to_even() -> None:
    values = torch.randn(1000, generator=torch.Generator().manual_seed(0)) * 3
    params = QuantParams("uint8", (0.02,), (77,))
    wanted = torch.fake_quantize_per_tensor_affine(values, 0.02, 77, 0, 255)
    integers = _affine.quantize(values, params)
    assert torch.equal(integers, (wanted / 0.02).round() + 77)
    torch.testing.assert_close(_affine.dequantize(integers, params), wanted)
    halves = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, 500.0, -500.0])
    assert _affine.quantize(halves, QuantParams("int8", (1.0,), (0,))).tolist() == [0, 2, 2, 0, -2, 127, -128]


def test_weights_are_symmetric_per_output_channel() -> None:
    weight = torch.tensor([[1.27, -0.5], [0.0, 0.0], [-2.54, 0.1]])
    params = _affine.weight_params(weight, "int8", None, None, "float32")
    assert params.axis == 0 and params.zero_point == (0, 0, 0)
    assert params.scale == pytest.approx((0.01, 1.0, 0.02))
    assert _affine.quantize(weight, params)[0].tolist() == [127, -50]


def test_a_channel_with_a_huge_bias_gets_a_scale_that_lets_it_fit_int32() -> None:
    weight, bias = torch.full((2, 3), 1e-9), torch.tensor([0.0, 50.0])
    plain = _affine.weight_params(weight, "int8", None, None, "float32")
    params = _affine.weight_params(weight, "int8", None, None, "float32", _affine.bias_scales(bias, 0.01))
    assert params.scale[0] == plain.scale[0]
    assert 50 / (0.01 * params.scale[1]) <= 2**30 < 50 / (0.01 * plain.scale[1])


def test_a_scale_for_each_block_of_input_channels() -> None:
    weight = torch.tensor([[0.7, -0.1, 7.0, 1.0], [0.0, 0.35, -3.5, 0.1]])
    params = _affine.weight_params(weight, "int4", 2, None, "float32")
    assert params.scale == pytest.approx((0.1, 1.0, 0.05, 0.5)) and params.block == 2
    wide = _affine.weight_scales(params, (2, 4))
    torch.testing.assert_close(wide, torch.tensor([[0.1, 0.1, 1.0, 1.0], [0.05, 0.05, 0.5, 0.5]]))


def test_a_grid_clips_a_weight_that_hardly_counts() -> None:
    weight = torch.tensor([[7.0, 0.5, -0.5, 0.25]])
    counts = torch.tensor([[1e-9, 1.0, 1.0, 1.0]])
    params = _affine.weight_params(weight, "int4", None, counts, "float32")
    assert params.scale[0] == pytest.approx(0.55)  # the finest that is tried


def test_a_dynamic_grid_is_chosen_for_each_token() -> None:
    value = torch.tensor([[[1.27, -0.5], [254.0, 1.0]]])
    steps, scale = _affine.quantize_dynamic(value, DynamicQuantization("int8", "token", symmetric=True))
    assert steps.tolist() == [[[127, -50], [127, 0]]] and scale.flatten().tolist() == pytest.approx(
        [0.01, 2.0]
    )
    steps, scale = _affine.quantize_dynamic(value, DynamicQuantization("uint8", "token", symmetric=False))
    assert scale.flatten().tolist() == pytest.approx([1.77 / 255, 254 / 255])
    assert steps[0, 1].tolist() == [255, 1]


def test_tokens_of_different_size_share_a_normalized_grid() -> None:
    """[1, -0.5] and [100, 25]: divided by 1 and 100, one grid from -0.5 to 1, scale 1.5 / 255, zero point 85."""
    value = torch.tensor([[1.0, -0.5], [100.0, 25.0]])
    how = DynamicQuantization("uint8", "tensor", symmetric=False, normalized=True)
    integers, scale = _affine.quantize_dynamic(value, how)
    assert integers.tolist() == [[170, -85], [170, 42]]
    assert scale.flatten().tolist() == pytest.approx([1.5 / 255, 150 / 255])
    assert _affine.fake_quantize_dynamic(value, how)[1].tolist() == pytest.approx([100, 42 * 150 / 255])


def test_a_bfloat16_scale_has_8_significant_bits_and_is_no_smaller() -> None:
    for wanted in (0.0123456, 1e-9, 0.5, 3.0 + 2**-10):
        found = _affine._representable(wanted, "bfloat16")
        assert found >= wanted and (found * 2**8 / 2 ** np.ceil(np.log2(found))) % 1 == 0
        assert float(np.float16(found)) == found and found <= max(wanted * (1 + 2**-7), 2**-14)
