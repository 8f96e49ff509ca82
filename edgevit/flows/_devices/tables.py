"""What `edgevit profile` shows: latency of a file, where its time goes, and files side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from edgevit.core.results.answer import Table
from edgevit.core.results.profile import DeviceProfile, FileProfile
from edgevit.validate.operator_times import shares

_MOST: Final = 10


def tables_of_one(file: FileProfile, done: DeviceProfile) -> tuple[Table, ...]:
    """Latency, then modules and operators where the runtime tells them."""
    found = [_one(file, done)]
    if file.modules:
        found.append(_modules(file))
    if file.operators:
        found.append(_operators(file))
    return tuple(found)


def _one(file: FileProfile, done: DeviceProfile) -> Table:
    latency = file.latency
    assert latency is not None, "checked before"
    fastest, slowest = zip(*(block.extremes_ms for block in file.blocks), strict=True)
    few = "too few runs" if done.runner is None else "unknown"
    memory = "unknown" if file.peak_rss_bytes is None else f"{file.peak_rss_bytes / 1e6:.0f} MB"
    rows = [
        ("p50", f"{latency.p50_ms:.3f} ms"),
        ("p90", few if latency.p90_ms is None else f"{latency.p90_ms:.3f} ms"),
        ("p99", few if file.p99_ms is None else f"{file.p99_ms:.3f} ms"),
        ("fastest", f"{min(fastest):.3f} ms"),
        ("slowest", f"{max(slowest):.3f} ms"),
        ("opening the file", f"{file.load_ms:.1f} ms"),
        *(() if file.load_warm_ms is None else (("opening it again", f"{file.load_warm_ms:.1f} ms"),)),
        ("first inference", f"{file.first_ms:.1f} ms"),
        ("peak memory", memory),
        ("runs", f"{latency.runs} in {len(file.blocks)} processes"),
        ("threads", str(latency.threads)),
        ("executed by", str(file.executed_by)),
    ]
    if file.partitions is not None:
        rows.append(("delegate partitions", str(file.partitions)))
    if file.unstable:
        rows.append(("unstable", file.unstable))
    if file.untold:
        rows.append(("operators", file.untold))
    return Table(f"{Path(file.artifact).name} on {_called(done)}", ("what", "value"), tuple(rows))


def table_of_several(done: DeviceProfile) -> Table:
    """Files side by side, a row for each."""
    rows = []
    for file in done.files:
        if file.latency is None:
            rows.append((file.artifact, "-", "-", "-", "-", file.reason))
            continue
        ratio = file.latency.ratio_to_fp32
        against = "" if ratio is None else f"{ratio.value:.2f} [{ratio.ci95[0]:.2f}, {ratio.ci95[1]:.2f}]"
        p90 = "" if file.latency.p90_ms is None else f"{file.latency.p90_ms:.2f}"
        memory = "" if file.peak_rss_bytes is None else f"{file.peak_rss_bytes / 1e6:.0f}"
        rows.append((file.artifact, f"{file.latency.p50_ms:.2f}", p90, against, memory, file.unstable))
    columns = ("file", "p50 ms", "p90 ms", "times fp32", "peak MB", "remarks")
    return Table(f"{len(done.files)} files on {_called(done)}", columns, tuple(rows))


def _modules(file: FileProfile) -> Table:
    rows = tuple(
        (m.name or "(the model itself)", "" if m.ms is None else f"{m.ms:.3f}", f"{100 * m.share:.1f} %")
        for m in file.modules
    )
    title = "time by module of the model"
    if any(m.ms is None for m in file.modules):
        title += ", as the runtime estimates it"
    return Table(title, ("module", "ms", "share"), rows)


def _operators(file: FileProfile) -> Table:
    """Those that take the most."""
    weighed = zip(file.operators, shares(file.operators), strict=True)
    most = sorted(weighed, key=lambda pair: pair[1], reverse=True)[:_MOST]
    rows = tuple(
        (o.name, o.type, o.by, "" if o.ms is None else f"{o.ms:.3f}", f"{100 * share:.1f} %")
        for o, share in most
    )
    title = f"the {len(rows)} of {len(file.operators)} operators that take the most"
    return Table(title, ("operator", "type", "executed by", "ms", "share"), rows)


def _called(done: DeviceProfile) -> str:
    what = done.fingerprint.model or done.fingerprint.cpu or done.fingerprint.machine
    played = f", emulated: {done.fingerprint.emulated}" if done.fingerprint.emulated else ""
    return f"{done.device} ({what}{played})" if what else done.device
