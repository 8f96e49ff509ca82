"""The results that bench.quantization kept, as CSV and as Markdown."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench._quantization import judge
from edgevit.core.disk.artifact import artifact_size

_HEAD: Final = (
    "target",
    "tool",
    "precision",
    "top-1 %",
    "drop [95 %]",
    "agreement %",
    "total dB",
    "size to fp32",
    "latency to fp32 [95 %]",
    "edgevit's latency to it [95 %]",
    "seconds to quantize",
    "int MACs",
)
_ORDER: Final = ("fp32", "fp16", "w8", "w8da8", "w8a8", "w4", "lut6", "lut4")


@dataclass(frozen=True, slots=True)
class Row:
    """One file: who makes it, where its results are, and the float file of the same tool.

    Attributes:
        ours: edgevit's file of the same target and precision, None for edgevit's own files and for floats.
    """

    target: str
    tool: str
    precision: str
    name: str
    folder: Path
    file: Path
    base: Path
    ours: Path | None = None

    @property
    def made(self) -> Path:
        """Result of making it."""
        return self.folder / "made.json"

    def judged(self, images: int) -> Path:
        """Result of executing it."""
        return self.folder / f"judged-{images}.json"

    @property
    def timed(self) -> Path:
        """Result of timing it."""
        return self.folder / "timed.json"

    @property
    def compared(self) -> Path:
        """Result of timing edgevit's file beside it."""
        return self.folder / "compared.json"


def write_csv(path: Path, rows: tuple[Row, ...], images: int) -> None:
    """All files that were executed or failed, by target and precision: what `markdown` reads."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_HEAD)
        targets = list(dict.fromkeys(row.target for row in rows))
        for row in sorted(
            rows, key=lambda r: (targets.index(r.target), _place(r.precision), r.name != "ours")
        ):
            made, judged = _read(row.made), _read(row.judged(images))
            if judged or "error" in made:  # else not executed yet, or a float file that is the base of others
                times = _read(row.timed), _read(row.compared)
                writer.writerow(_cells(row, made, judged, times, _float_bytes(rows, row.target)))


def markdown(path: Path) -> str:
    """The table of a CSV file, as `docs/benchmarks.md` has it."""
    with path.open(newline="", encoding="utf-8") as stream:
        head, *rows = csv.reader(stream)
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def facts_and_remarks(model: str, folder: Path, rows: tuple[Row, ...], images: int) -> str:
    """What the float model does, and the errors and notes of the files."""
    text = f"# {model}\n"
    if (folder / f"facts-{images}.json").exists():
        facts = judge.facts(folder, images)
        text += f"\nfloat top-1 {facts['top1']:.2f} % on {facts['images']} images, {facts['macs'] / 1e6:.0f} M MACs.\n"
    for row in rows:
        for path in (row.made, row.judged(images), row.timed, row.compared):
            found = _read(path)
            if told := found.get("error") or found.get("note"):
                text += f"- {row.target}, {row.tool}, {row.precision}: {told}\n"
    return text


def _cells(
    row: Row,
    made: dict[str, Any],
    judged: dict[str, Any],
    times: tuple[dict[str, Any], dict[str, Any]],
    float_bytes: int | None,
) -> tuple[str, ...]:
    first = (row.target, row.tool, row.precision)
    if "error" in made or "error" in judged:
        why = str(made.get("error") or judged.get("error"))
        return (*first, f"failed: {_short(why)}", *["-"] * (len(_HEAD) - 4))
    seconds = f"{made['seconds']:.0f}" if made.get("seconds") else "-"
    if not judged:
        return (*first, *["-"] * (len(_HEAD) - 5), seconds, "-")
    size = f"{judged['bytes'] / float_bytes:.3f}" if float_bytes else "-"
    return (
        *first,
        f"{judged['top1']:.2f}",
        "{:.2f} [{:.2f}, {:.2f}]".format(judged["drop"], *judged["drop_ci95"]),
        f"{judged['agreement']:.2f}",
        f"{judged['sqnr_db']:.1f}",
        size,
        *(_ratio(found) for found in times),
        seconds,
        f"{judged['static'] + judged['dynamic']:.3f}",
    )


def _ratio(found: dict[str, Any]) -> str:
    return "{:.2f} [{:.2f}, {:.2f}]".format(found["ratio"], *found["ci95"]) if "ratio" in found else "-"


def _float_bytes(rows: tuple[Row, ...], target: str) -> int | None:
    """Of edgevit's fp32 file, one measure for all tools: some float files of others hold much besides weights."""
    floats = [r for r in rows if r.target == target and r.precision == "fp32"]
    found = sorted((r for r in floats if r.file.exists()), key=lambda r: r.name != "ours")
    return artifact_size(found[0].file) if found else None


def _place(precision: str) -> int:
    return _ORDER.index(precision) if precision in _ORDER else len(_ORDER)


def _short(text: str) -> str:
    """A few words that cannot break the table."""
    return text.replace("|", "/").replace("\n", " ")[:60]


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found
