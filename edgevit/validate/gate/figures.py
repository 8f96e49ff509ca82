"""What is read off both files without any image: are they there, do they pass, how large, how integer, how exact."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from edgevit.core.results.baseline import BaselineFile
from edgevit.core.results.gate import Check, CheckKind
from edgevit.core.settings.gate_policy import Policy
from edgevit.validate.gate.sides import Shipped

# From here on two float32 programs differ by the order of their sums alone.
EXACT_DB: Final = 80.0
_SITES: Final = 3  # named in one sentence


def figure_checks(old: Shipped, new: Shipped, policy: Policy, by_image: frozenset[str]) -> Iterator[Check]:
    """All of every file that the baseline has.

    Args:
        by_image: files whose SQNR is judged image by image elsewhere.
    """
    for before in old.facts.files:
        now = new.file(before.name)
        yield _present(before, now)
        if now is None or now.size_bytes is None:
            continue
        limits = policy.limits_for(before.name)
        yield _verdict(before, now)
        yield _size(before, now, limits.max_size_growth)
        yield from _memory(before, now, limits.max_memory_growth)
        if before.name not in by_image or limits.max_sqnr_loss is None:
            yield _sqnr(before, now, limits.max_sqnr_loss)
        yield _integer(before, now, limits.max_integer_loss, _new_in_float(old, new, before.name))


def _present(old: BaselineFile, new: BaselineFile | None) -> Check:
    """Whether the file is still made and executed."""
    if new is None:
        reason = f"{old.name} is gone: the baseline has it. If that is meant: --accept {old.name}"
    elif new.size_bytes is None and old.size_bytes is None:
        return _nothing(old.name, "present", "it could not be made, nor could the baseline's")
    elif new.size_bytes is None:
        reason = f"{old.name} could not be made: see its error in the report of the bundle"
    elif new.executed_by is None and old.executed_by is not None:
        return Check(
            subject=old.name,
            kind="present",
            outcome="inconclusive",
            reason=f"the file is there, but nothing executed it here; the baseline's was executed by {old.executed_by}",
        )
    else:
        by = "" if new.executed_by is None else f", executed by {new.executed_by}"
        return Check(subject=old.name, kind="present", outcome="pass", reason=f"the file is there{by}")
    return Check(
        subject=old.name,
        kind="present",
        outcome="regressed",
        reason=reason,
        accept=old.name if new is None else "",
    )


def _verdict(old: BaselineFile, new: BaselineFile) -> Check:
    """A verdict that was pass must stay one."""
    if new.verdict == "pass":
        outcome, reason = "pass", "its own report says pass"
    elif old.verdict != "pass":
        outcome, reason = (
            "not-compared",
            f"its report says {new.verdict}, as the baseline's said {old.verdict}",
        )
    elif new.verdict in ("inconclusive", "not-executed"):
        outcome, reason = "inconclusive", f"its report said pass and says {new.verdict}"
    else:
        outcome, reason = "regressed", f"its report said pass and says {new.verdict}"
    return Check(subject=old.name, kind="verdict", outcome=outcome, reason=reason)  # type: ignore[arg-type]


def _size(old: BaselineFile, new: BaselineFile, limit: float | None) -> Check:
    if not old.size_bytes or new.size_bytes is None:
        return _nothing(old.name, "size", "the baseline holds no size")
    growth = 100 * (new.size_bytes / old.size_bytes - 1)
    said = f"{old.size_bytes:,} bytes became {new.size_bytes:,}, {growth:+.1f} %"
    return _against(old.name, "size", limit, growth, said, "%", old.size_bytes, new.size_bytes, "bytes")


def _memory(old: BaselineFile, new: BaselineFile, limit: float | None) -> Iterator[Check]:
    """Of files whose memory a device measured; where none did, there is nothing to say."""
    before = None if old.latency is None else old.latency.peak_rss_bytes
    if old.latency is None or not before:
        return
    now = None if new.latency is None else new.latency.peak_rss_bytes
    if new.latency is None or not now:
        yield _unknown(old, new, "memory", "its peak memory", True)
    elif new.latency.device != old.latency.device:
        yield _nothing(old.name, "memory", new.latency.device.difference(old.latency.device))
    else:
        growth = 100 * (now / before - 1)
        said = f"peak memory of {before / 1e6:.1f} MB became {now / 1e6:.1f}, {growth:+.1f} %"
        yield _against(old.name, "memory", limit, growth, said, "%", before, now, "bytes")


def _sqnr(old: BaselineFile, new: BaselineFile, limit: float | None) -> Check:
    if old.sqnr_db is None or new.sqnr_db is None:
        return _unknown(old, new, "sqnr", "its SQNR", old.sqnr_db is not None)
    loss = old.sqnr_db - new.sqnr_db
    said = f"SQNR against its own float model was {old.sqnr_db:.1f} dB and is {new.sqnr_db:.1f} dB"
    if new.sqnr_db >= EXACT_DB and limit is not None and loss > limit:
        return Check(
            subject=old.name,
            kind="sqnr",
            outcome="pass",
            reason=f"{said}: from {EXACT_DB:.0f} dB on, float32's own rounding is all that differs",
            old=old.sqnr_db,
            new=new.sqnr_db,
            unit="dB",
            limit=limit,
            change=loss,
        )
    return _against(old.name, "sqnr", limit, loss, said, "dB", old.sqnr_db, new.sqnr_db, "dB")


def _integer(old: BaselineFile, new: BaselineFile, limit: float | None, come: tuple[str, ...]) -> Check:
    """Share of the multiply-accumulates in integers, and which sites fell back to float."""
    if old.integer_mac_fraction is None or new.integer_mac_fraction is None:
        return _unknown(old, new, "integer", "what runs in integers", old.integer_mac_fraction is not None)
    before, now = 100 * old.integer_mac_fraction, 100 * new.integer_mac_fraction
    said = f"{before:.1f} % of the multiply-accumulates ran in integers, {now:.1f} % do"
    if come:
        more = f" and {len(come) - _SITES} more" if len(come) > _SITES else ""
        said += f"; newly in float: {', '.join(come[:_SITES])}{more}"
    return _against(old.name, "integer", limit, before - now, said, "points", before, now, "%")


def _new_in_float(old: Shipped, new: Shipped, name: str) -> tuple[str, ...]:
    known = set(old.in_float.get(name, ()))
    return tuple(site for site in new.in_float.get(name, ()) if site not in known)


def _against(
    name: str,
    kind: str,
    limit: float | None,
    loss: float,
    said: str,
    of_limit: str,
    old: float,
    new: float,
    unit: str,
) -> Check:
    """A figure without chance in it: at most the limit, or not."""
    if limit is None:
        return _nothing(name, kind, f"{said}; the policy sets no limit")
    worse = loss > limit
    reason = f"{said}; {'more than the' if worse else 'within the'} {limit:g} {of_limit} that are allowed"
    return Check(
        subject=name,
        kind=kind,  # type: ignore[arg-type]
        outcome="regressed" if worse else "pass",
        reason=reason,
        old=old,
        new=new,
        unit=unit,
        limit=limit,
        change=loss,
    )


def _unknown(old: BaselineFile, new: BaselineFile, kind: CheckKind, what: str, was_known: bool) -> Check:
    """A figure that one side lacks: where it was measured and is no more, anything may be behind that."""
    if not was_known:
        return _nothing(old.name, kind, f"the baseline does not know {what}")
    reason = f"the baseline knows {what}, the new report does not"
    if new.executed_by is None:  # which `present` says
        return _nothing(old.name, kind, reason)
    return Check(subject=old.name, kind=kind, outcome="inconclusive", reason=reason)


def _nothing(name: str, kind: str, reason: str) -> Check:
    return Check(subject=name, kind=kind, outcome="not-compared", reason=reason)  # type: ignore[arg-type]
