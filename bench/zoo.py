"""Convert every family at full size to all three targets, execute the files, and write docs/zoo.md.

python -m bench.zoo --cache DIR              all rows that are not in DIR yet, then the table
python -m bench.zoo --cache DIR --only swin  rows whose model contains this text
python -m bench.zoo --cache DIR --table      the table alone

Each row is one `edgevit convert MODEL --random-weights 1 --precision fp32,fp16`, judged on 16 seeded
synthetic images. Its report is kept in DIR, so that an interrupted run goes on where it stopped; a row
that failed is tried again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.zoo_models import ENTRIES, Entry, command_text

PAGE = Path(__file__).resolve().parent.parent / "docs" / "zoo.md"
TARGETS = ("onnx", "tflite", "coreml")
PRECISIONS = ("fp32", "fp16")


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--cache", type=Path, required=True)
    cli.add_argument("--only", default="", help="text that the model's name contains")
    cli.add_argument("--table", action="store_true", help="convert nothing")
    cli.add_argument("--again", action="store_true", help="convert also what is there already")
    cli.add_argument("--timeout", type=float, default=1800.0, help="seconds for each step of a conversion")
    arguments = cli.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    chosen = [entry for entry in ENTRIES if arguments.only in entry.model]
    for number, entry in enumerate(chosen, 1):
        path = _path(entry, arguments.cache)
        if arguments.table or (_passed(path) and not arguments.again):
            continue
        begin = time.perf_counter()
        print(f"[{number}/{len(chosen)}] {entry.family} {entry.model}", end=" ", flush=True)
        row = _convert(entry, arguments.cache, arguments.timeout)
        path.write_text(json.dumps(row))
        told = _error(row) or ", ".join(f"{a['target']} {a['precision']} {_db(a)}" for a in row["artifacts"])
        print(f"{time.perf_counter() - begin:.0f} s: {told}", flush=True)
    PAGE.write_text(_page(arguments.cache))


def _path(entry: Entry, cache: Path) -> Path:
    return cache / f"{entry.model.replace(':', '-').replace('/', '-')}.json"


def _passed(path: Path) -> bool:
    return path.exists() and _error(json.loads(path.read_text())) is None


def _convert(entry: Entry, cache: Path, timeout: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "edgevit", "convert", command_text(entry, cache), *entry.flags]
    command += ["--random-weights", "1", "--precision", ",".join(PRECISIONS), "--to", ",".join(TARGETS)]
    command += [
        "--jobs",
        "1",
        "--timeout",
        str(timeout),
        "-o",
        str(cache / "bundle"),
        "--overwrite",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        row: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        row = {"error": {"message": done.stderr.strip()[-300:] or f"code {done.returncode}"}}
    return row


def _error(row: dict[str, Any]) -> str | None:
    if "error" in row:
        return str(row["error"]["message"])
    wrong = [a for a in row["artifacts"] if a["verdict"] != "pass"]
    return "; ".join(f"{a['target']} {a['precision']}: {' '.join(a['reasons'])}" for a in wrong) or None


def _page(cache: Path) -> str:
    rows = [(e, json.loads(_path(e, cache).read_text())) for e in ENTRIES if _path(e, cache).exists()]
    lines = [
        "# Zoo",
        "",
        "Every family at full size, random weights, converted to fp32 and fp16 for all three targets and",
        "executed: ONNX in ONNX Runtime, TFLite in LiteRT, Core ML in the reference evaluator. Made by",
        "`python -m bench.zoo --cache DIR`, which goes on where it stopped.",
        "",
        "Three values in a cell are ONNX / TFLite / Core ML. *Fidelity* is the SQNR of the file's first output",
        "against PyTorch on 16 images. *Latency* is the median of one fp32 inference on 2 cores of the machine",
        "named below (Core ML has none off a Mac). *Memory* is the highest resident size of the converting",
        "process, files of all precisions together. *Operators* and *rank* are read back from the fp32 file.",
        "",
        "| family | source | parameters M | convert s | peak memory GB | operators | rank "
        "| fp32 dB | fp16 dB | fp32 latency ms |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *(_line(entry, row) for entry, row in rows),
        "",
        f"{sum(_error(r) is None for _, r in rows)} of {len(ENTRIES)} models pass in all six files; "
        f"{len(ENTRIES) - len(rows)} have not been run.",
    ]
    failed = [(entry, told) for entry, row in rows if (told := _error(row))]
    lines += ["", *(f"- {entry.model}: {told}" for entry, told in failed)] if failed else []
    machines = sorted(
        {f"{r['environment']['cpu']}, {r['environment']['system']}" for _, r in rows if "environment" in r}
    )
    return "\n".join([*lines, "", *(f"Machine: {m}." for m in machines), ""])


def _line(entry: Entry, row: dict[str, Any]) -> str:
    if "error" in row:
        return f"| {entry.family} | {entry.model} | " + "- | " * 7 + "failed |"
    by_name = {(a["target"], a["precision"]): a for a in row["artifacts"]}

    def each(precision: str, show: Any) -> str:
        found = [by_name.get((target, precision)) for target in TARGETS]
        return " / ".join("-" if a is None or a["verdict"] == "error" else show(a) for a in found)

    convert, memory = row["timings_s"]["convert"], row["peak_memory_bytes"]["convert"]
    cells = (
        entry.family,
        entry.model,
        f"{row['model']['parameters'] / 1e6:.1f}",
        " / ".join(f"{convert[t]:.0f}" if t in convert else "-" for t in TARGETS),
        " / ".join(f"{memory[t] / 2**30:.1f}" if t in memory else "-" for t in TARGETS),
        each("fp32", lambda a: str(a["operators"])),
        each("fp32", lambda a: str(a["max_rank"])),
        each("fp32", _db),
        each("fp16", _db),
        each("fp32", lambda a: "-" if a["latency"] is None else f"{a['latency']['p50_ms']:.1f}"),
    )
    return "| " + " | ".join(cells) + " |"


def _db(artifact: dict[str, Any]) -> str:
    total = artifact["total"]
    return "-" if total is None or total["sqnr_db"] is None else f"{total['sqnr_db']:.0f}"


if __name__ == "__main__":
    main()
