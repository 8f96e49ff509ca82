"""The parts that plots have in common: numbers along the axes, names beside points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from edgevit.report import _svg

LEFT: Final = 52
RIGHT: Final = _svg.WIDTH - 16


def grid_y(y: _svg.Axis, right: float = RIGHT) -> list[str]:
    """A line with its number at each round value."""
    parts = []
    for value in y.ticks():
        parts.append(_svg.line(LEFT, y.at(value), right, y.at(value), "grid"))
        parts.append(_svg.text(LEFT - 8, y.at(value) + 4, _svg.tick_text(value), "tick", "end"))
    return parts


def ticks_x(x: _svg.Axis, bottom: float, name: str) -> list[str]:
    """The axis below a plot, its numbers and its name."""
    parts = [_svg.line(x.start, bottom, x.end, bottom, "axis")]
    parts += [
        _svg.text(x.at(value), bottom + 16, _svg.tick_text(value), "tick", "middle") for value in x.ticks()
    ]
    half = _svg.text_width(name) / 2  # a long name is centred as far as the edge of the plot lets it
    centre = max(min((x.start + x.end) / 2, _svg.WIDTH - half - 4), half + 4)
    parts.append(_svg.text(centre, bottom + 33, name, "tick", "middle"))
    return parts


def labels(points: Sequence[tuple[float, float, str]], near: float = math.inf) -> list[str]:
    """A name beside each group of like points; one that would cover an earlier name moves up or down.

    Args:
        near: pixels of height within which points of one name are a group; sideways they are 60.
    """
    placed: list[tuple[float, float]] = []
    named: list[tuple[float, float, str]] = []
    parts = []
    for x, y, name in sorted(points):
        if any(name == other and abs(x - nx) < 60 and abs(y - ny) < near for nx, ny, other in named):
            continue
        named.append((x, y, name))
        left = x > RIGHT - 60
        for shift in (0, 13, -13, 26):
            at = (x - 9 if left else x + 9, y + 4 + shift)
            if all(abs(at[0] - px) > 48 or abs(at[1] - py) > 11 for px, py in placed):
                placed.append(at)
                parts.append(_svg.text(*at, name, "label", "end" if left else "start"))
                break
    return parts
