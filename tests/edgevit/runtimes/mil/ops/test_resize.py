"""MIL's resizing operations against PyTorch's, against exact fractions, and against what Apple's tests state."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from edgevit.core.errors import UnsupportedError
from edgevit.runtimes._mil.table import KERNELS

SIZES = [(size, wanted) for size in range(1, 8) for wanted in range(1, 16)]


def image(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def call(name: str, x: torch.Tensor, **settings: Any) -> torch.Tensor:
    result: torch.Tensor = KERNELS[name].function(x=x, **settings)
    return result


def half_up(point: Fraction) -> int:
    return math.floor(point + Fraction(1, 2))


# the operator set's points, as fractions
POINTS: dict[str, Callable[[int, int, int], Fraction]] = {
    "DEFAULT": lambda i, size, wanted: Fraction(i * size, wanted),
    "STRICT_ALIGN_CORNERS": lambda i, size, wanted: Fraction(i * (size - 1), max(wanted - 1, 1)),
    "ALIGN_CORNERS": lambda i, size, wanted: (
        Fraction(i * (size - 1), wanted - 1) if wanted > 1 else Fraction(size - 1, 2)
    ),
    "OFFSET_CORNERS": lambda i, size, wanted: Fraction((2 * i + 1) * max(1, size - 1), 2 * wanted),
    "UNALIGN_CORNERS": lambda i, size, wanted: Fraction((2 * i + 1) * size, 2 * wanted) - Fraction(1, 2),
}


def point(mode: str, i: int, size: int, wanted: int) -> Fraction:
    return min(Fraction(size - 1), max(Fraction(0), POINTS[mode](i, size, wanted)))


@pytest.mark.parametrize("mode", POINTS)
def test_linear_resizing_follows_the_points_of_each_sampling_mode(mode: str) -> None:
    for size, wanted in SIZES:
        x = torch.arange(size, dtype=torch.float32).reshape(1, size)  # so that a sample's value is its place
        expected = torch.tensor([[float(point(mode, i, size, wanted)) for i in range(wanted)]])
        y = call("resize", x, shape=[wanted], resized_dims=1, sampling_mode=mode)
        torch.testing.assert_close(y, expected)
        if wanted > 1:
            both = call(
                "resize_bilinear",
                x.reshape(1, 1, size),
                target_size_height=2,
                target_size_width=wanted,
                sampling_mode=mode,
            )
            torch.testing.assert_close(both, expected.expand(1, 2, wanted))


@pytest.mark.parametrize("mode", POINTS)
def test_nearest_resizing_takes_the_nearest_to_each_point(mode: str) -> None:
    centred = "UNALIGN_CORNERS" if mode == "DEFAULT" else mode
    for size, wanted in SIZES:
        x = torch.arange(size, dtype=torch.float32).reshape(1, size)
        expected = [min(half_up(point(centred, i, size, wanted)), size - 1) for i in range(wanted)]
        y = call(
            "resize",
            x,
            shape=[wanted],
            resized_dims=1,
            interpolation_mode="NEAREST_NEIGHBOR",
            sampling_mode=mode,
        )
        assert y.tolist() == [expected]


def test_nearest_resizing_is_pytorchs_nearest_exact() -> None:
    for size, wanted in SIZES:
        x = image(1, 2, size, size + 1)
        y = call("resize_nearest_neighbor", x, target_size_height=wanted, target_size_width=4)
        assert torch.equal(y, F.interpolate(x, (wanted, 4), mode="nearest-exact"))
        same = call("resize", x, shape=[wanted, 4], resized_dims=2, interpolation_mode="NEAREST_NEIGHBOR")
        assert torch.equal(same, y)


def test_nearest_upsampling_is_pytorchs_nearest() -> None:
    for size in range(1, 8):
        for factor in (0.67, 1.0, 1.12, 1.9, 2.0, 2.5, 3.17):
            x = image(1, 1, size, 3)
            wanted = math.floor(size * factor)
            if wanted:
                y = call("upsample_nearest_neighbor", x, scale_factor_height=factor, scale_factor_width=2)
                assert torch.equal(y, F.interpolate(x, (wanted, 6), mode="nearest"))


def test_apples_cases_of_nearest() -> None:
    two, three = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[1.0, 2.0, 3.0]]])
    nearest = {"interpolation_mode": "NEAREST_NEIGHBOR", "resized_dims": 1}
    assert call("resize", two, shape=[3], **nearest).tolist() == [[[1.0, 2.0, 2.0]]]
    upsampled = [call("upsample_nearest_neighbor", three, scale_factor_width=f) for f in (0.67, 1.12)]
    assert [y.tolist() for y in upsampled] == [[[[1.0, 2.0]]], [[[1.0, 2.0, 3.0]]]]


@pytest.mark.parametrize("factors", [(1.0, 3.0), (2.6, 2.0), (0.5, 0.75)])
@pytest.mark.parametrize("align", [True, False])
def test_bilinear_upsampling_is_pytorchs(factors: tuple[float, float], align: bool) -> None:
    x = image(1, 3, 10, 8)
    sizes = (math.floor(10 * factors[0]), math.floor(8 * factors[1]))
    expected = F.interpolate(x, sizes, mode="bilinear", align_corners=align)
    settings = {"scale_factor_height": factors[0], "scale_factor_width": factors[1], "align_corners": align}
    torch.testing.assert_close(call("upsample_bilinear", x, **settings), expected)
    explicit = call("upsample_bilinear", x, half_pixel_centers=not align, **settings)
    torch.testing.assert_close(explicit, expected)


def test_bilinear_upsampling_without_both_starts_at_the_corner() -> None:
    x = torch.tensor([[[1.0, 2.0]]])
    y = call("upsample_bilinear", x, scale_factor_width=3, align_corners=False, half_pixel_centers=False)
    torch.testing.assert_close(y, torch.tensor([[[1, 4 / 3, 5 / 3, 2, 2, 2]]]))  # Apple's test


def test_bilinear_upsampling_with_both_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="both align_corners and half_pixel_centers"):
        call("upsample_bilinear", image(1, 1, 2), align_corners=True, half_pixel_centers=True)


def test_upsampled_sizes_are_rounded_down_in_float32_as_the_program_declares_them() -> None:
    factor = 0.699999988079071  # float32's 0.7: ten times it is 7 in float32, 6.9999998 otherwise
    assert call("upsample_nearest_neighbor", image(1, 1, 10), scale_factor_width=factor).shape == (1, 1, 7)


def test_a_size_of_zero_keeps_an_axis() -> None:
    x = image(1, 2, 3)
    assert call("resize", x, shape=[4, 0, 6], resized_dims=2).shape == (1, 2, 6)


@pytest.mark.parametrize(
    "settings",
    [{"sampling_mode": "OTHER"}, {"interpolation_mode": "CUBIC"}],
    ids=["sampling", "interpolation"],
)
def test_unknown_modes_are_refused_by_name(settings: dict[str, str]) -> None:
    with pytest.raises(UnsupportedError, match="OTHER|CUBIC"):
        call("resize", image(1, 3), shape=[4], resized_dims=1, **settings)
