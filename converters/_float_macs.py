"""`--option TARGET.float_macs`: how much of a w8a8 file may stay in float where that saves most of the loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from edgevit.core.capabilities import MOST_IN_FLOAT
from edgevit.core.errors import UsageError

# Of ViT-S' layers, the three or four that lose half of everything have this much of the multiply-accumulates.
DEFAULT: Final = 0.05
HELP: Final = (
    f"share of the multiply-accumulates that w8a8 may leave in float where rounding costs most; {DEFAULT:g}"
)


def float_macs(target: str, options: Mapping[str, str] | None) -> float:
    """The number that was given, 0 to 0.09, which is all that may stay in float by choice.

    Raises:
        UsageError: no number, or one that is out of range.
    """
    text = (options or {}).get("float_macs", str(DEFAULT))
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= MOST_IN_FLOAT:
        raise UsageError(
            f"{target}.float_macs must be a number from 0 to {MOST_IN_FLOAT:g}, not {text!r}",
            f"leave it out for {DEFAULT:g}",
        )
    return share
