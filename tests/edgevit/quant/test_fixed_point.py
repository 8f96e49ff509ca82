"""Rounding of integer kernels, by numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch

from edgevit.core.quant_params import QuantParams
from edgevit.core.widths import narrowed, unit_grid
from edgevit.quant import fixed_point


def _steps(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int64)


@pytest.mark.parametrize(
    ("steps", "factor", "wanted"),
    [
        # 1/4 is 2^30 2^(-1 - 31): 6/4 = 1.5 goes away from zero, 5/4 becomes 3/2 first, and then 2
        ((6, -6, 5, -5, 4), 0.25, (2, -2, 2, -1, 1)),
        ((3, -3), 2.0, (6, -6)),
    ],
)
def test_int32_sums_are_rounded_twice(steps: tuple[int, ...], factor: float, wanted: tuple[int, ...]) -> None:
    assert fixed_point.twice(_steps(*steps), factor).tolist() == list(wanted)


def test_int64_sums_are_multiplied_by_16_bits() -> None:
    """1/3 is 43691 / 2^17 in 16 bits, 2^-17 of itself too much."""
    total = _steps(3 * 2**18)
    assert fixed_point.once(total, [1 / 3], (1,)).tolist() == [round(3 * 2**18 * 21845 / 2**16)]
    assert fixed_point.once(_steps(5, -5), [0.5], (1,)).tolist() == [3, -2]


def test_the_sigmoid_is_a_step_off_at_most_two() -> None:
    given, wanted = QuantParams("int16", (2.0**-12,), (0,)), unit_grid("int16")
    value = torch.arange(-32768, 32768).float() * given.scale[0]
    found = fixed_point.sigmoid(value, given, wanted)
    assert (found - torch.sigmoid(value)).abs().max() < 2 * wanted.scale[0]
    assert found[32768] == 0.5


def test_sums_in_int8_round_halves_up() -> None:
    params = QuantParams("int8", (2.0,), (0,))
    found = fixed_point.added(_steps(1, -1, 3), _steps(0, 0, 2), (0.5, 0.5), params)
    assert found.tolist() == [2.0, 0.0, 6.0]  # 0.5, -0.5 and 2.5 steps of 2


def test_an_image_is_8_bits_wide_whatever_reads_it() -> None:
    wide = QuantParams("int16", (127 / 32767,), (0,))
    assert narrowed(wide) == QuantParams("int8", (pytest.approx(1.0),), (0,))  # type: ignore[arg-type]
    assert narrowed(narrowed(wide)) == narrowed(wide)
