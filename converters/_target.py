"""What `write` of every target here asks of its arguments before it makes a file."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.errors import UnsupportedError, UsageError
from edgevit.core.plans import QuantPlan
from edgevit.core.precisions import Precision

T = TypeVar("T")


def checked_conversion(
    prepared: object,
    kind: type[T],
    target: str,
    precision: Precision,
    offered: Collection[str],
    plan: QuantPlan | None,
    capabilities: BackendCapabilities | None,
) -> T:
    """`prepared` as the target's own float conversion.

    Args:
        kind: what the target's `prepare` returns.
        offered: the precisions that the target writes.
        plan: None for precisions without one.
        capabilities: of the precision; None where nothing is quantized.

    Raises:
        TypeError: `prepared` comes from elsewhere.
        UnsupportedError: the target has no such precision.
        UsageError: a plan is missing, or there is one that nothing asks for.
    """
    if not isinstance(prepared, kind):
        raise TypeError(f"{target}: write needs what prepare returned, not {type(prepared).__name__}")
    if precision not in offered:
        raise UnsupportedError(f"{target} cannot write {precision}", f"it can: {', '.join(offered)}")
    if (plan is None) != (capabilities is None):
        raise UsageError(
            f"{target} {precision} {'needs a' if plan is None else 'takes no'} quantization plan",
            "write it through edgevit.convert, which makes the plan that belongs to the precision",
        )
    return prepared
