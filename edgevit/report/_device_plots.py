"""Plots of what was measured on a device: latency of each file, and the time of the model's modules."""

from __future__ import annotations

import statistics
from typing import Final

from edgevit.core.results.profile import DeviceProfile, FileProfile
from edgevit.report import _svg
from edgevit.report._axes import ticks_x
from edgevit.report._plots import Plot

_MODULES: Final = 24
_NAME: Final = 30


def latency(profile: DeviceProfile) -> Plot | None:
    """Median as a bar, a line on to the 90th percentile, a dot for the median of each process."""
    timed = [(file, file.latency) for file in profile.files if file.latency is not None]
    if not timed:
        return None
    row, top = 26, 8
    bottom = top + row * len(timed)
    left, right = 150, _svg.WIDTH - 150
    medians = {file.artifact: [statistics.median(b.runs_ms) for b in file.blocks] for file, _ in timed}
    highest = [max([t.p90_ms or t.p50_ms, *medians[file.artifact]]) for file, t in timed]
    x = _svg.spanning(highest, left, right, zero=True)
    parts = ticks_x(x, bottom, "milliseconds per image")
    for number, (file, t) in enumerate(timed):
        y, middle = top + number * row, top + number * row + row / 2
        ratio = t.ratio_to_fp32
        words = f"{t.p50_ms:.3g} ms" + ("" if ratio is None else f"  {ratio.value:.2f} of fp32")
        parts.append(_svg.text(left - 8, y + 16, _short(file.artifact), "label", "end"))
        parts.append(
            _svg.bar(left, y + 4, x.at(t.p50_ms) - left, row - 9, 0, f"{file.artifact}: p50 {words}")
        )
        if t.p90_ms is not None:
            parts.append(_svg.line(x.at(t.p50_ms), middle, x.at(t.p90_ms), middle, "whisker"))
        parts += [
            _svg.dot(x.at(ms), middle, 1, f"one process: {ms:.3g} ms", 3.0) for ms in medians[file.artifact]
        ]
        parts.append(_svg.text(right + 8, y + 16, words, "tick"))
    caption = (
        "Median time of one inference there; the thin line reaches to the 90th percentile, each dot is the median of "
        "one process. Dots far apart say that the device was not at rest."
    )
    return Plot("Latency", caption, _svg.figure(bottom + 40, caption, parts))


def modules(file: FileProfile) -> Plot | None:
    """A bar for each module of the model in the order of execution; the smallest are left out where there are many."""
    shown = sorted(file.modules, key=lambda module: module.share, reverse=True)[:_MODULES]
    if not shown:
        return None
    row, top, left, right = 20, 8, 210, _svg.WIDTH - 110
    bottom = top + row * len(shown)
    x = _svg.spanning([100 * module.share for module in shown], left, right, zero=True)
    parts = ticks_x(x, bottom, "percent of the file")
    kept = [module for module in file.modules if module in shown]
    for number, module in enumerate(kept):
        y, percent = top + number * row, 100 * module.share
        words = f"{percent:.0f} %" + ("" if module.ms is None else f"  {module.ms:.3g} ms")
        parts.append(_svg.text(left - 8, y + 13, _short(module.name or "(the model itself)"), "label", "end"))
        parts.append(_svg.bar(left, y + 3, x.at(percent) - left, row - 6, 0, f"{module.name}: {words}"))
        parts.append(_svg.text(right + 8, y + 13, words, "tick"))
    left_out = len(file.modules) - len(kept)
    rest = f" {left_out} smaller ones are left out." if left_out else ""
    timed = all(module.ms is not None for module in kept)
    how = (
        "operators' times added up; timing each costs time itself" if timed else "what the runtime estimates"
    )
    caption = (
        f"Where the time of {file.artifact} goes, by module of the model, in order of execution: {how}.{rest}"
    )
    return Plot(f"Modules, {file.artifact}", caption, _svg.figure(bottom + 40, caption, parts))


def _short(name: str) -> str:
    return name if len(name) <= _NAME else f"…{name[1 - _NAME :]}"
