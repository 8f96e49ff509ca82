"""Accuracy against size, and against latency: every file before and now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from edgevit.core.results.figures import megabytes
from edgevit.core.results.gate import FilePoint, GateReport
from edgevit.report import _svg
from edgevit.report._axes import LEFT, RIGHT, grid_y, labels, ticks_x
from edgevit.report._plots import Plot

_HEIGHT: Final = 300
_BOTTOM: Final = _HEIGHT - 40
_NEAR: Final = 24
_WORDS: Final = {"old": "baseline", "new": "now"}


@dataclass(frozen=True, slots=True)
class _Dot:
    point: FilePoint
    x: float
    y: float
    tooltip: str


def plots(report: GateReport) -> tuple[Plot, ...]:
    """Those for which there are figures."""
    made = (
        _plot(report, "size", "size in MB", _megabytes),
        _plot(report, "latency", "milliseconds per image", lambda point: point.latency_ms),
    )
    return tuple(plot for plot in made if plot is not None)


def _plot(
    report: GateReport, over: str, axis: str, value: Callable[[FilePoint], float | None]
) -> Plot | None:
    shown = [
        (p, x, p.score_pct) for p in report.points if (x := value(p)) is not None and p.score_pct is not None
    ]
    if not shown:
        return None
    what = "Top-1" if report.images.labelled else "Agreement with the float model"
    level = report.bundle.top1 if report.images.labelled else None
    x_axis = _svg.spanning([x for _, x, _ in shown], LEFT, RIGHT, zero=True)
    y_axis = _svg.spanning([y for *_, y in shown] + ([] if level is None else [level]), _BOTTOM, 14)
    dots = [_Dot(p, x_axis.at(x), y_axis.at(y), _tooltip(p, what)) for p, x, y in shown]
    colours = {target: i for i, target in enumerate(dict.fromkeys(_target(d.point) for d in dots))}
    parts = [*grid_y(y_axis), *ticks_x(x_axis, _BOTTOM, axis)]
    if level is not None:
        parts += [
            _svg.line(LEFT, y_axis.at(level), RIGHT, y_axis.at(level), "mark"),
            _svg.text(LEFT + 4, y_axis.at(level) - 5, "float model now"),
        ]
    parts += [
        _svg.line(old.x, old.y, new.x, new.y, "whisker", colours[_target(new.point)])
        for old, new in _pairs(dots)
    ]
    for dot in dots:  # baselines below, so that a file that did not move shows what it is now
        if dot.point.side == "old":
            parts.append(_svg.ring(dot.x, dot.y, colours[_target(dot.point)], dot.tooltip))
    for dot in dots:
        if dot.point.side == "new":
            parts.append(_svg.dot(dot.x, dot.y, colours[_target(dot.point)], dot.tooltip))
    last = {dot.point.subject: dot for dot in sorted(dots, key=lambda dot: dot.point.side == "new")}
    parts += labels([(dot.x, dot.y, _precision(dot.point)) for dot in last.values()], _NEAR)
    caption = (
        f"{what} in percent, over {over}: hollow in the baseline, full now. Up and to the left is better."
    )
    legend = tuple((colour, target) for target, colour in colours.items())
    return Plot(f"Accuracy against {over}", caption, _svg.figure(_HEIGHT, caption, parts), legend)


def _pairs(dots: Sequence[_Dot]) -> list[tuple[_Dot, _Dot]]:
    old = {dot.point.subject: dot for dot in dots if dot.point.side == "old"}
    return [(old[d.point.subject], d) for d in dots if d.point.side == "new" and d.point.subject in old]


def _tooltip(point: FilePoint, what: str) -> str:
    told = [f"{what.lower()} {point.score_pct:.2f} %"]
    if point.size_bytes is not None:
        told.append(megabytes(point.size_bytes))
    if point.latency_ms is not None:
        told.append(f"{point.latency_ms:.3g} ms")
    return f"{point.subject}, {_WORDS[point.side]}: {', '.join(told)}"


def _megabytes(point: FilePoint) -> float | None:
    return None if point.size_bytes is None else point.size_bytes / 1e6


def _target(point: FilePoint) -> str:
    return point.subject.partition("/")[0]


def _precision(point: FilePoint) -> str:
    return point.subject.partition("/")[2]
