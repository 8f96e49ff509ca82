"""Small plots as inline SVG: coordinates in, markup out. Every text is escaped here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from edgevit.core.foreign import printable
from edgevit.core.results.figures import MINUS

WIDTH = 480


@dataclass(frozen=True, slots=True)
class Axis:
    """A linear axis from `low` to `high` between two pixel positions."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Pixel position of a value; values outside land on the edge."""
        span = self.high - self.low or 1.0
        share = min(max((value - self.low) / span, 0.0), 1.0)
        return self.start + share * (self.end - self.start)

    def ticks(self, about: int = 5) -> tuple[float, ...]:
        """Round values inside the axis, about so many."""
        step = _round_step((self.high - self.low) / about)
        first = math.ceil(self.low / step - 1e-9)
        return tuple(i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1))


def spanning(values: Sequence[float], start: float, end: float, zero: bool = False) -> Axis:
    """An axis that holds all values with a margin; from 0 if `zero`."""
    low, high = min(values), max(values)
    margin = 0.08 * (high - low) or max(0.02 * abs(high), 0.5)
    return Axis(0.0 if zero else low - margin, high + margin, start, end)


def _round_step(raw: float) -> float:
    if raw <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(raw))
    return power * next(m for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)


def tick_text(value: float) -> str:
    """As short as it can be."""
    return f"{value:.6g}".replace("-", MINUS)


def text(x: float, y: float, content: str, kind: str = "tick", anchor: str = "start") -> str:
    """A piece of text; `kind` is its CSS class."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_escaped(content)}</text>'


def text_width(content: str) -> float:
    """Pixels that a text takes at most, roughly: nobody knows the reader's fonts."""
    return 7.0 * len(content)


def line(x1: float, y1: float, x2: float, y2: float, kind: str, colour: int | None = None) -> str:
    """A straight line; `colour` is the number of the series."""
    return f'<line class="{_classes(kind, colour)}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def dot(x: float, y: float, colour: int, tooltip: str, radius: float = 5.0) -> str:
    """A point with its tooltip."""
    return (
        f'<circle class="{_classes("dot", colour)}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}">'
        f"<title>{_escaped(tooltip)}</title></circle>"
    )


def ring(x: float, y: float, colour: int, tooltip: str, radius: float = 5.0) -> str:
    """A hollow point with its tooltip."""
    return (
        f'<circle class="{_classes("ring", colour)}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}">'
        f"<title>{_escaped(tooltip)}</title></circle>"
    )


def bar(x: float, y: float, width: float, height: float, colour: int, tooltip: str) -> str:
    """A bar with its tooltip."""
    return (
        f'<rect class="{_classes("bar", colour)}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" '
        f'height="{height:.1f}" rx="2"><title>{_escaped(tooltip)}</title></rect>'
    )


def path(points: Sequence[tuple[float, float]], colour: int) -> str:
    """A line through all points."""
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="{_classes("path", colour)}" points="{joined}"/>'


def figure(height: float, label: str, parts: Sequence[str], width: float = WIDTH) -> str:
    """The whole plot; `label` is read to those who cannot see it."""
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{_escaped(label)}">'
        + "".join(parts)
        + "</svg>"
    )


def _escaped(content: str) -> str:
    return escape(printable(content), quote=True)


def _classes(kind: str, colour: int | None) -> str:
    return kind if colour is None else f"{kind} c{colour % 6}"
