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


def page(cache: Path) -> str:
    """The page as Markdown; rows that have not been run are left out and counted."""
    rows = [(e, json.loads(row_file(e, cache).read_text())) for e in ENTRIES if row_file(e, cache).exists()]
    lines = [_HEAD, *(_line(entry, row) for entry, row in rows), ""]
    passed = sum(error_of(row) is None for _, row in rows)
    lines.append(
        f"{passed} of {len(ENTRIES)} models pass in all six files; {len(ENTRIES) - len(rows)} have not been run."
    )
    failed = [(entry, told) for entry, row in rows if (told := error_of(row))]
    lines += ["", *(f"- {entry.model}: {told}" for entry, told in failed)] if failed else []
    hosts = {
        f"{r['environment']['cpu']}, {r['environment']['system']}" for _, r in rows if "environment" in r
    }
    return "\n".join([*lines, "", *(f"Machine: {host}." for host in sorted(hosts)), ""])


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
