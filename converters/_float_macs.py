"""`--option TARGET.float_macs`: how much of a w8a8 file may stay in float where that saves most of the loss.

For backends without float it is what may have 16-bit activations.
"""

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
# Of ViT-S' multiply-accumulates, with softmax's twelve products and two of the layers that give Q, K and V in 16 bits.
WIDE_DEFAULT: Final = 0.15


def float_macs(
    target: str, options: Mapping[str, str] | None, default: float = DEFAULT, most: float = MOST_IN_FLOAT
) -> float:
    """The number that was given, 0 to `most`: by default 0.09, which is all that may stay in float by choice.

    Raises:
        UsageError: no number, or one that is out of range.
    """
    text = (options or {}).get("float_macs", str(default))
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= most:
        raise UsageError(
            f"{target}.float_macs must be a number from 0 to {most:g}, not {text!r}",
            f"leave it out for {default:g}",
        )
    return share
