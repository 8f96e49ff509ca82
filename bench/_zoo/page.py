"""docs/zoo.md out of the reports that bench.zoo kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench._zoo.models import ENTRIES, Entry

_TARGETS = ("onnx", "tflite", "coreml")
_HEAD = """\
# Zoo

Every family at full size, converted to fp32 and fp16 for all three targets and executed: ONNX in ONNX Runtime,
TFLite in LiteRT, Core ML in the reference evaluator. The weights are random and seeded (`--random-weights 1`;
the Keras models and DAT bring seeded weights of their own): none is 0. Made by
`python -m bench.zoo --cache DIR`, which goes on where it stopped.

Three values in a cell are ONNX / TFLite / Core ML. *Convert* is the time of one process that writes both files
of a target, on a machine that was doing other work too: an upper bound. *Memory* is the highest resident size of
that process. *Operators* and *rank* are read back from the fp32 file. *Fidelity* is the SQNR of the file's first
output against PyTorch on 16 images. *Latency* is the median of up to 40 inferences of the fp32 file on one thread, in
ms, on that machine: an upper bound too (ONNX / TFLite; Core ML has none off a Mac). `python -m bench.latency`
compares latencies on a machine that does nothing else.

Rows made at different times were made beside different other work. FastViT, RepViT and MobileCLIP were made again when
their branches came to be fused before the export, on a machine two to three times as busy: of their times nothing
follows; `python -m bench.reparameterize` compares fused files with others.

| family | source | parameters M | convert s | memory GB | operators | rank | fp32 dB | fp16 dB | latency ms |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"""


def row_file(entry: Entry, cache: Path) -> Path:
    """Where the report of a row is kept; the folder of the same name without suffix keeps its files."""
    slug = "".join(c if c.isalnum() or c == "_" else "-" for c in entry.model)
    return cache / f"{slug}.json"


def error_of(row: dict[str, Any]) -> str | None:
    """What went wrong in a row, None if every file passed."""
    if "error" in row:
        return str(row["error"]["message"])
    wrong = [a for a in row["artifacts"] if a["verdict"] != "pass"]
    return "; ".join(f"{a['target']} {a['precision']}: {' '.join(a['reasons'])}" for a in wrong) or None


def reached(artifact: dict[str, Any]) -> str:
    """SQNR against PyTorch in dB, or a dash."""
    total = artifact["total"]
    return "-" if total is None or total["sqnr_db"] is None else f"{total['sqnr_db']:.0f}"


def page(cache: Path, before: str = "") -> str:
    """The page as Markdown. A row that is not in `cache` stays as it is in `before`; without it, it is counted.

    Args:
        before: the page as it was.
    """
    kept = {_source(line): line for line in before.splitlines() if line.startswith("| ")}
    machines = [line for line in before.splitlines() if line.startswith("Machine: ")]
    shown, failed = [], []
    for entry in ENTRIES:
        if row_file(entry, cache).exists():
            row = json.loads(row_file(entry, cache).read_text())
            shown.append(_line(entry, row))
            if told := error_of(row):
                failed.append(f"- {entry.model}: {told}")
            if "environment" in row:
                machines.append(f"Machine: {row['environment']['cpu']}, {row['environment']['system']}.")
        elif entry.source in kept:
            shown.append(kept[entry.source])
    passed = len(shown) - len(failed)
    count = f"{passed} of {len(ENTRIES)} models pass in all six files; {len(ENTRIES) - len(shown)} have not been run."
    return "\n".join([_HEAD, *shown, "", count, "", *(failed and [*failed, ""]), *sorted(set(machines)), ""])


def _source(line: str) -> str:
    """The second cell of a row."""
    return line.split(" | ")[1] if " | " in line else ""


def _line(entry: Entry, row: dict[str, Any]) -> str:
    if "error" in row:
        return f"| {entry.family} | {entry.model} | " + "- | " * 7 + "failed |"
    by_name = {(a["target"], a["precision"]): a for a in row["artifacts"]}

    def each(precision: str, show: Callable[[dict[str, Any]], str]) -> str:
        found = [by_name.get((target, precision)) for target in _TARGETS]
        return " / ".join("-" if a is None or a["verdict"] == "error" else show(a) for a in found)

    def latency(artifact: dict[str, Any]) -> str:
        return "-" if artifact["latency"] is None else f"{artifact['latency']['p50_ms']:.1f}"

    convert, memory = row["timings_s"]["convert"], row["peak_memory_bytes"]["convert"]
    cells = (
        entry.family,
        entry.source,
        f"{row['model']['parameters'] / 1e6:.1f}",
        " / ".join(f"{convert[t]:.0f}" if t in convert else "-" for t in _TARGETS),
        " / ".join(f"{memory[t] / 2**30:.1f}" if t in memory else "-" for t in _TARGETS),
        each("fp32", lambda a: str(a["operators"])),
        each("fp32", lambda a: str(a["max_rank"])),
        each("fp32", reached),
        each("fp16", reached),
        each("fp32", latency).rpartition(" / ")[0],
    )
    return "| " + " | ".join(cells) + " |"
