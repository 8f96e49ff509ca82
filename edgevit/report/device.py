"""The page of a device: what it is, how long each file takes there, and where the time goes."""

from __future__ import annotations

from typing import Final

from edgevit.core.results.device import OperatorTime
from edgevit.core.results.figures import NOTHING
from edgevit.core.results.profile import DeviceProfile, FileProfile
from edgevit.report._device_plots import latency, modules
from edgevit.report._page import template

_COLUMNS: Final = (
    "file",
    "p50 ms",
    "p90 ms",
    "p99 ms",
    "times fp32\n[95 % interval]",
    "first ms",
    "opening ms",
    "peak MB",
    "executed by",
)
# Operators of one file on the page, of those that take longest; the JSON has all.
_OPERATORS: Final = 40


def render(profile: DeviceProfile) -> str:
    """One page that needs nothing else; everything that came from a user or a device is escaped."""
    plots = [latency(profile), *(modules(file) for file in profile.files)]
    return template("device.html.j2").render(
        profile=profile,
        columns=_COLUMNS,
        rows=[_cells(file) for file in profile.files],
        remarks=[(file.artifact, file.unstable or file.reason) for file in profile.files],
        plots=[plot for plot in plots if plot is not None],
        slowest=[
            (file.artifact, sorted(file.operators, key=_weight, reverse=True)[:_OPERATORS])
            for file in profile.files
            if file.operators
        ],
    )


def _cells(file: FileProfile) -> tuple[str, ...]:
    found = file.latency
    if found is None:
        return (file.artifact, *([NOTHING] * (len(_COLUMNS) - 2)), "not executed")
    ratio = found.ratio_to_fp32
    return (
        file.artifact,
        f"{found.p50_ms:.3g}",
        _number(found.p90_ms),
        _number(file.p99_ms),
        NOTHING if ratio is None else f"{ratio.value:.2f} [{ratio.ci95[0]:.2f}, {ratio.ci95[1]:.2f}]",
        _number(file.first_ms),
        _number(file.load_ms),
        NOTHING if file.peak_rss_bytes is None else f"{file.peak_rss_bytes / 1e6:.0f}",
        str(file.executed_by),
    )


def _weight(operator: OperatorTime) -> float:
    """By what operators of one file are ordered: time, or its estimate."""
    return operator.ms if operator.ms is not None else operator.cost or 0.0


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3g}"
