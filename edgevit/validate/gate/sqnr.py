"""Outputs without classes: the SQNR of each image against the baseline's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from edgevit.core.decibels import LIMIT_DB
from edgevit.core.results.gate import Check
from edgevit.core.settings.gate_policy import Policy
from edgevit.validate.gate.accuracy import FILES_ALPHA, decide, on_both
from edgevit.validate.gate.sides import Shipped
from edgevit.validate.regression import Judged, judge_means

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Decibels = NDArray[np.float32]  # (N,)


def by_image(old: Shipped, new: Shipped) -> dict[str, tuple[Decibels, Decibels]]:
    """File -> dB of each image before and now; of one image alone nothing follows."""
    return {
        one.file: (one.before.sqnr_db, one.now.sqnr_db)
        for one in on_both(old, new)
        if one.before.sqnr_db is not None and one.now.sqnr_db is not None and len(one.now.sqnr_db) > 1
    }


def sqnr_checks(both: Mapping[str, tuple[Decibels, Decibels]], policy: Policy) -> Iterator[Check]:
    """The mean loss over the images, in dB; what the policy switched off is told with the other figures."""
    limits = {name: policy.limits_for(name).max_sqnr_loss for name in both}
    judged = [(name, *both[name], limit) for name, limit in limits.items() if limit is not None]
    found = judge_means([b - n for _, b, n, _ in judged], [limit for *_, limit in judged], FILES_ALPHA)
    for (name, before, now, limit), one in zip(judged, found, strict=True):
        yield _check(name, before, now, limit, one)


def _check(name: str, before: Decibels, now: Decibels, limit: float, found: Judged) -> Check:
    outcome = found.outcome
    words = {
        "pass": f"within the {limit:g} dB that are allowed",
        "regressed": f"more than the {limit:g} dB that are allowed",
        "inconclusive": f"which may be more or less than the {limit:g} dB that are allowed; "
        f"{decide(found, len(now))}",
    }[outcome]
    # One image in a thousand hardly moves the mean, but nothing finite came out of it.
    if broken := int(((now <= -LIMIT_DB) & (before > -LIMIT_DB)).sum()):
        outcome = "regressed"
        words = f"and {broken} of {len(now):,} images, which had finite outputs, give NaN or infinity now"
    low, high = found.bounds
    return Check(
        subject=name,
        kind="sqnr",
        outcome=outcome,
        reason=f"mean SQNR of an image was {before.mean():.1f} dB and is {now.mean():.1f} dB, a loss of "
        f"{found.drop:.2f} dB [{low:.2f}, {high:.2f}], {words}",
        old=float(before.mean()),
        new=float(now.mean()),
        unit="dB",
        limit=limit,
        change=found.drop,
        bounds=found.bounds,
        n=len(now),
        images_needed=found.images_needed if outcome == "inconclusive" else None,
    )
