"""The chart and the table of README.md, from the results in bench/results.

    python -m bench.chart            write docs/images/accuracy-and-latency.svg
    python -m bench.chart --table    print edgevit and the field's tools side by side

Both show DINOv2 ViT-S/14 (`quantization-r1.csv`, which `python -m bench.quantization --model r1` makes).
"""

from __future__ import annotations

import argparse
import csv
import math
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from edgevit.report._figures import TIMES
from edgevit.report._svg import Axis

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = ROOT / "bench" / "results" / "quantization-r1.csv"
CHART: Final = ROOT / "docs" / "images" / "accuracy-and-latency.svg"

TITLE: Final = "DINOv2 ViT-S/14: agreement with the float model against latency"
PANELS: Final = {"onnx": "ONNX Runtime", "tflite": "LiteRT"}
VENDORS: Final = {"onnx": "ONNX Runtime", "tflite": "ai-edge-quantizer", "coreml": "coremltools"}
FORMATS: Final = {"onnx": "ONNX", "tflite": "TFLite", "coreml": "Core ML"}
SHAPES: Final = ("w8a8", "w8da8", "w8", "w4")
_TICKS: Final = (0.25, 0.5, 1.0, 2.0)
_COLOURS: Final = {"edgevit": "#2166ac", "vendor": "#d9730d", "torchao": "#6b7280"}
_WIDTH, _HEIGHT, _TOP, _BOTTOM = 900, 430, 84, 366


@dataclass(frozen=True, slots=True)
class Result:
    """One quantized file.

    Attributes:
        agreement: share of images on which file and float model name the same class, in percent; None if not made.
        latency: ratio to the float file of the same tool; None where the runtime has none.
        remark: why there is no file.
    """

    target: str
    tool: str
    precision: str
    agreement: float | None
    latency: float | None
    remark: str

    @property
    def maker(self) -> str:
        """`edgevit`, `torchao`, or `vendor`: the quantizer of the runtime's own publisher."""
        return (
            self.tool
            if self.tool == "edgevit"
            else "torchao"
            if self.tool.startswith("torchao")
            else "vendor"
        )


def main() -> None:
    """Write or print."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--table", action="store_true")
    if cli.parse_args().table:
        print(table(read(RESULTS)), end="")
    else:
        CHART.write_text(chart(read(RESULTS)), encoding="utf-8")


def read(path: Path) -> tuple[Result, ...]:
    """The quantized files of a CSV of bench.quantization; floats are left out."""
    with path.open(newline="", encoding="utf-8") as stream:
        return tuple(_result(row) for row in csv.DictReader(stream) if not row["precision"].startswith("fp"))


def _result(row: dict[str, str]) -> Result:
    made = row["agreement %"] != "-"
    latency = row["latency to fp32 [95 %]"]
    return Result(
        row["target"],
        row["tool"],
        row["precision"],
        float(row["agreement %"]) if made else None,
        float(latency.split()[0]) if latency != "-" else None,
        "" if made else row["top-1 %"],
    )


def table(results: tuple[Result, ...]) -> str:
    """One row for each format and precision; of a tool with several files, the one that agrees most."""
    lines = [
        "| format | precision | edgevit | the vendor's own quantizer | torchao PT2E |",
        "|" + " --- |" * 5,
    ]
    for target, precision in dict.fromkeys((r.target, r.precision) for r in results):
        cells = []
        for maker in ("edgevit", "vendor", "torchao"):
            found = [r for r in results if (r.target, r.precision, r.maker) == (target, precision, maker)]
            cells.append(
                _cell(max(found, key=lambda r: r.agreement or 0.0), maker) if found else "not measured"
            )
        lines.append(f"| {FORMATS[target]} | `{precision}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(result: Result, maker: str) -> str:
    if result.agreement is None:
        return f"{VENDORS[result.target]}: {result.remark}"
    figures = f"{result.agreement:.1f} %" + (
        f", {result.latency:.2f}{TIMES}" if result.latency is not None else ""
    )
    if maker == "edgevit":
        return f"**{figures}**"
    return f"{VENDORS[result.target]}: {figures}" if maker == "vendor" else figures


def chart(results: tuple[Result, ...]) -> str:
    """The SVG: a panel for each runtime that has latencies; up and to the left is better."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="13">',
        f"<title>{TITLE}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" rx="8" fill="#ffffff"/>',
        _text(24, 30, TITLE, "#1b1f24", size=16, weight=600),
        *_legend(),
    ]
    for index, (target, name) in enumerate(PANELS.items()):
        x = Axis(math.log2(0.25), math.log2(3.0), 66 + index * 430, 456 + index * 430)
        parts += _panel([r for r in results if r.target == target], name, x)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(results: list[Result], name: str, x: Axis) -> list[str]:
    y = Axis(78.0, 100.0, _BOTTOM, _TOP)
    parts = []
    for value in y.ticks(5):
        parts.append(f'<path d="M{x.start:.1f} {y.at(value):.1f}H{x.end:.1f}" stroke="#e3e6ea"/>')
        parts.append(_text(x.start - 8, y.at(value) + 4, f"{value:g} %", anchor="end"))
    for ratio in _TICKS:
        at = x.at(math.log2(ratio))
        dash = ' stroke-dasharray="4 4"' if ratio == 1.0 else ""
        colour = "#8a929c" if ratio == 1.0 else "#e3e6ea"
        parts.append(f'<path d="M{at:.1f} {_TOP}V{_BOTTOM}" stroke="{colour}"{dash}/>')
        parts.append(_text(at, _BOTTOM + 20, f"{ratio:g}{TIMES}", anchor="middle"))
    parts.append(
        _text(
            (x.start + x.end) / 2, _BOTTOM + 44, f"latency in {name}, float file = 1{TIMES}", anchor="middle"
        )
    )
    shown = [r for r in results if r.agreement is not None and r.latency is not None]
    for r in sorted(shown, key=lambda r: r.maker == "edgevit"):  # ours last, so that nothing covers them
        assert r.agreement is not None and r.latency is not None
        tooltip = f"{r.tool}, {r.precision}: {r.agreement:.1f} % agreement, {r.latency:.2f} times the float file's time"
        parts.append(_mark(x.at(math.log2(r.latency)), y.at(r.agreement), r.precision, r.maker, tooltip))
    return parts


def _legend() -> list[str]:
    parts, at = [], 30.0
    for maker, words in (
        ("edgevit", "edgevit"),
        ("vendor", "the runtime's own quantizer"),
        ("torchao", "torchao PT2E"),
    ):
        parts += [_mark(at, 54, "w8a8", maker, words), _text(at + 12, 58.5, words)]
        at += 34 + 7.0 * len(words)
    at = 484.0
    for precision in SHAPES:
        parts += [_mark(at, 54, precision, "", precision), _text(at + 12, 58.5, precision)]
        at += 34 + 8.0 * len(precision)
    parts.append(_text(_WIDTH - 14, 58.5, "up and to the left is better", anchor="end"))
    return parts


def _mark(x: float, y: float, precision: str, maker: str, tooltip: str) -> str:
    """The precision is the shape, the maker the colour."""
    shape = {
        "w8a8": f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6.5"',
        "w8da8": f'<path d="M{x:.1f} {y - 8:.1f}l8 8l-8 8l-8 -8z"',
        "w8": f'<rect x="{x - 6:.1f}" y="{y - 6:.1f}" width="12" height="12"',
        "w4": f'<path d="M{x:.1f} {y - 7:.1f}l7.5 13h-15z"',
    }[precision]
    colour = _COLOURS.get(maker, "#1b1f24")
    tag = shape[1:].split()[0]
    return f'{shape} fill="{colour}" fill-opacity=".85" stroke="#ffffff"><title>{escape(tooltip)}</title></{tag}>'


def _text(
    x: float,
    y: float,
    words: str,
    colour: str = "#5b6470",
    anchor: str = "start",
    size: int = 13,
    weight: int = 400,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" font-size="{size}" '
        f'font-weight="{weight}">{escape(words)}</text>'
    )


if __name__ == "__main__":
    main()
