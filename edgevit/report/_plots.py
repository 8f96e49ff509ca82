"""The plots of the page: accuracy against size, latency, error per layer, what single sites cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgevit.core.precisions import Precision
from edgevit.core.results.figures import decibel, megabytes
from edgevit.core.results.report import SITE_DB, ArtifactReport, Report
from edgevit.report import _svg
from edgevit.report._axes import LEFT, RIGHT, grid_y, labels, ticks_x
from edgevit.report._figures import TIMES

_WIDE: Final = 1040
_TOP_DB: Final = 120.0
_WORST: Final = 10
_NAME: Final = 30


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot with its heading, the sentence below it, and its legend (colour number, name)."""

    title: str
    caption: str
    svg: str
    legend: tuple[tuple[int, str], ...] = ()
    wide: bool = False


def plots(report: Report) -> tuple[Plot, ...]:
    """All plots for which the report holds figures."""
    made = [accuracy_by_size(report), latency(report), *error_per_layer(report), *sensitivity(report)]
    return tuple(plot for plot in made if plot is not None)


def accuracy_by_size(report: Report) -> Plot | None:
    """Top-1 with its interval, or agreement where the images have no labels, over the size of the file."""
    points = [p for p in map(_score, report.artifacts) if p is not None]
    if not points:
        return None
    labelled = report.reference.top1 is not None
    scores = [v for p in points for v in (p.low, p.high)]
    if report.reference.top1 is not None:
        scores.append(report.reference.top1)
    height = 300
    x = _svg.spanning([p.megabytes for p in points], LEFT, RIGHT, zero=True)
    y = _svg.spanning(scores, height - 40, 14)
    parts = [*grid_y(y), *ticks_x(x, height - 40, "size in MB")]
    if report.reference.top1 is not None:
        level = y.at(report.reference.top1)
        parts += [
            _svg.line(LEFT, level, RIGHT, level, "mark"),
            _svg.text(LEFT + 4, level - 5, "float model"),
        ]
    colours = _colours(report)
    parts += [
        _svg.line(
            x.at(p.megabytes), y.at(p.low), x.at(p.megabytes), y.at(p.high), "whisker", colours[p.target]
        )
        for p in points
    ]
    parts += [_svg.dot(x.at(p.megabytes), y.at(p.score), colours[p.target], p.tooltip) for p in points]
    parts += labels([(x.at(p.megabytes), y.at(p.score), p.precision) for p in points])
    what = "Top-1 in percent, with the 95 % interval of its drop"
    if not labelled:
        what = "Agreement with the float model in percent"
    caption = f"{what}, over the size of the file. Up and to the left is better."
    return Plot("Accuracy against size", caption, _svg.figure(height, caption, parts), _legend(report))


@dataclass(frozen=True, slots=True)
class _Point:
    target: str
    precision: Precision
    megabytes: float
    score: float
    low: float
    high: float
    tooltip: str


def _score(a: ArtifactReport) -> _Point | None:
    accuracy = a.accuracy
    if accuracy is None or a.size_bytes is None:
        return None
    score = low = high = accuracy.agreement
    what = "agreement"
    if accuracy.top1 is not None and accuracy.drop_pp is not None and accuracy.drop_ci95 is not None:
        score, what = accuracy.top1, "top-1"
        before = score + accuracy.drop_pp
        low, high = before - accuracy.drop_ci95[1], before - accuracy.drop_ci95[0]
    tooltip = f"{a.target} {a.precision}: {what} {score:.2f} %, {megabytes(a.size_bytes)}"
    return _Point(a.target, a.precision, a.size_bytes / 1e6, score, low, high, tooltip)


def latency(report: Report) -> Plot | None:
    """Median time as a bar, a line on to the 90th percentile, and the ratio to fp32 in words."""
    timed = [(a, a.latency) for a in report.artifacts if a.latency is not None]
    if not timed:
        return None
    row, top = 26, 8
    height = top + row * len(timed) + 40
    left, right = 98, _svg.WIDTH - 180
    x = _svg.spanning([t.p90_ms or t.p50_ms for _, t in timed], left, right, zero=True)
    colours = _colours(report)
    parts = ticks_x(x, top + row * len(timed), "milliseconds per image")
    for i, (a, t) in enumerate(timed):
        y = top + i * row
        words, ratio = f"{t.p50_ms:.3g} ms", ""
        if t.ratio_to_fp32 is not None and a.precision is not Precision.FP32:
            low, high = t.ratio_to_fp32.ci95
            ratio = f"{t.ratio_to_fp32.value:.2f}{TIMES} [{low:.2f}, {high:.2f}]"
        p90 = "" if t.p90_ms is None else f", p90 {t.p90_ms:.3g} ms"
        tooltip = f"{a.target} {a.precision}: p50 {words}{p90}, {t.runs} runs, {t.threads} threads" + (
            f", {ratio} of fp32" if ratio else ""
        )
        parts.append(_svg.text(left - 8, y + 16, f"{a.target} {a.precision}", "label", "end"))
        parts.append(_svg.bar(left, y + 4, x.at(t.p50_ms) - left, row - 9, colours[a.target], tooltip))
        if t.p90_ms is not None:
            middle = y + 4 + (row - 9) / 2
            parts.append(_svg.line(x.at(t.p50_ms), middle, x.at(t.p90_ms), middle, "whisker"))
            parts.append(_svg.line(x.at(t.p90_ms), middle - 4, x.at(t.p90_ms), middle + 4, "whisker"))
        parts.append(_svg.text(right + 8, y + 16, f"{words}  {ratio}", "tick"))
    caption = (
        "Median time of one inference on this machine, the thin line reaches to the 90th percentile. "
        "Behind it the ratio to the fp32 file of the same target with its 95 % interval, measured in turns."
    )
    return Plot("Latency", caption, _svg.figure(height, caption, parts), _legend(report))


def error_per_layer(report: Report) -> tuple[Plot, ...]:
    """One plot for each precision with single-site figures: SQNR along the depth, a line per target."""
    precisions = dict.fromkeys(a.precision for a in report.artifacts if a.sites)
    return tuple(_depth(report, name) for name in precisions)


def _depth(report: Report, precision: Precision) -> Plot:
    shown = [a for a in report.artifacts if a.precision == precision and a.sites]
    height = 260
    values = [min(s.db, _TOP_DB) for a in shown for s in a.sites] + [SITE_DB]
    y = _svg.spanning(values, height - 40, 14)
    right = _WIDE - 16
    x = _svg.Axis(0, max(len(a.sites) for a in shown) - 1, LEFT + 10, right - 10)
    colours = _colours(report)
    level = y.at(SITE_DB)
    parts = [
        *grid_y(y, right),
        _svg.line(LEFT, level, right, level, "mark"),
        _svg.text(right, level - 5, f"{SITE_DB:.0f} dB", "tick", "end"),
        _svg.text((LEFT + right) / 2, height - 10, "sites, from the input to the output", "tick", "middle"),
    ]
    for a in shown:
        points = [(x.at(i), y.at(min(s.db, _TOP_DB))) for i, s in enumerate(a.sites)]
        parts.append(_svg.path(points, colours[a.target]))
        parts += [
            _svg.dot(px, py, colours[a.target], _site_tooltip(a, i), 3.0) for i, (px, py) in enumerate(points)
        ]
    caption = (
        f"SQNR in dB of each single site of the {precision} files against the plan's arithmetic, fed the file's "
        f"own input of that site; higher is better, {_TOP_DB:.0f} stands for anything above. Below "
        f"{SITE_DB:.0f} dB a site may be at most one step off in at most 0.5 % of its elements."
    )
    legend = tuple((colours[a.target], a.target) for a in shown)
    return Plot(
        f"Error per layer, {precision}", caption, _svg.figure(height, caption, parts, _WIDE), legend, True
    )


def sensitivity(report: Report) -> tuple[Plot, ...]:
    """For each file with a plan a bar for each of its worst sites: the loss that it causes alone."""
    return tuple(_worst(report, a) for a in report.artifacts if a.sensitivity)


def _worst(report: Report, a: ArtifactReport) -> Plot:
    shown = a.sensitivity[:_WORST]
    row, top = 22, 8
    left, right = 210, _svg.WIDTH - 16
    bottom = top + row * len(shown)
    x = _svg.spanning([max(s.sqnr_db, 0.0) for s in shown], left, right, zero=True)
    colour = _colours(report)[a.target]
    parts = ticks_x(x, bottom, "dB of the model's output with this site alone quantized")
    for i, site in enumerate(shown):
        y = top + i * row
        name = site.site if len(site.site) <= _NAME else f"…{site.site[1 - _NAME :]}"
        tooltip = f"{site.site}: {site.sqnr_db:.1f} dB, {site.macs / 1e6:.3g} million multiply-accumulates"
        width = x.at(max(site.sqnr_db, 0.0)) - left
        parts.append(_svg.text(left - 8, y + 14, name, "label", "end"))
        parts.append(_svg.bar(left, y + 3, width, row - 7, colour, tooltip))
    caption = (
        f"The sites of {a.target} {a.precision} that cost most alone, worst first: an estimate to first order. "
        "A shorter bar is a larger loss; report.json has more of them."
    )
    figure = _svg.figure(bottom + 40, caption, parts)
    return Plot(f"Worst sites, {a.target} {a.precision}", caption, figure)


def _site_tooltip(a: ArtifactReport, index: int) -> str:
    site = a.sites[index]
    steps = ""
    if site.max_steps is not None and site.off_fraction is not None:
        steps = f", at most {site.max_steps} steps off in {100 * site.off_fraction:.3f} % of its elements"
    unit = "" if decibel(site.db) == "equal" else " dB"
    return f"{a.target} {site.site}: {decibel(site.db)}{unit}{steps}"


def _colours(report: Report) -> dict[str, int]:
    targets = dict.fromkeys(a.target for a in report.artifacts)
    return {target: i for i, target in enumerate(targets)}


def _legend(report: Report) -> tuple[tuple[int, str], ...]:
    return tuple((colour, target) for target, colour in _colours(report).items())
