"""Rounding to float16 as the scan needs it, and the powers that it compares.

Each comes in two forms: one for ordinary values, and one for tensors that leave float16's range.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import torch

LARGEST: Final = 65504.0
# Beyond it a number stands for infinity, as in the masks of attention.
INFINITE: Final = 1e30
_SPLIT: Final = 2.0**13 + 1


def is_float(value: Any) -> bool:
    """Whether `value` is a tensor that a float16 file stores as float16."""
    import torch

    return isinstance(value, torch.Tensor) and value.dtype == torch.float32


def half(value: torch.Tensor, leaves: bool = False) -> torch.Tensor:
    """Rounded to the nearest float16 number, with gradual underflow, in float32.

    With `leaves`, what lies beyond 65504 is rounded to 11 bits and stays finite, by Veltkamp's splitting
    (Dekker, A floating-point technique for extending the available precision, 1971): whether a tensor
    leaves the range is told by its largest value, and this is for what the rounding alone does.
    """
    import torch

    if not leaves:
        return value.half().float()
    large = (value.abs() > LARGEST) & (value.abs() < INFINITE)
    kept = torch.where(large, value, torch.zeros((), dtype=value.dtype))
    scaled = kept * _SPLIT
    return torch.where(large, scaled - (scaled - kept), value.half().float())


def stored(constant: torch.Tensor) -> torch.Tensor:
    """A constant as a float16 file holds it: rounded, and the largest number for what is larger."""
    import torch

    return torch.where(constant.isfinite(), constant.clamp(-LARGEST, LARGEST), constant).half().float()


def power(value: torch.Tensor, leaves: bool = False) -> torch.Tensor:
    """Sum of squares, float64, of what does not stand for infinity."""
    import torch

    if not leaves:
        return value.square().sum().double()
    inside = torch.where(value.abs() < INFINITE, value, torch.zeros((), dtype=value.dtype))
    return inside.double().square().sum()


def peak(value: torch.Tensor) -> torch.Tensor:
    """Largest absolute value, float64; infinite for what stands for infinity."""
    import torch

    low, high = torch.aminmax(value)
    return torch.maximum(low.abs(), high.abs()).double()


def error(got: torch.Tensor, want: torch.Tensor, leaves: bool = False) -> torch.Tensor:
    """Power of the difference, float64; infinite where a number turned into none.

    With `leaves`, what stands for infinity is right as long as it stays among float16's largest numbers.
    """
    import torch

    if not leaves:
        return _finite((got - want).square().sum().double())
    same = (got == want) | ((want.abs() >= INFINITE) & (got.abs() >= LARGEST / 2) & (got * want > 0))
    wrong = torch.where(same, torch.zeros((), dtype=torch.float64), got.double() - want.double())
    return _finite(wrong.square().sum())


def _finite(total: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.nan_to_num(total, nan=torch.inf, posinf=torch.inf)
