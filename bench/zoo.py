"""Convert every family at full size to all three targets, execute the files, and write docs/zoo.md.

python -m bench.zoo --cache DIR                all rows that are not in DIR yet, then the table
python -m bench.zoo --cache DIR --only swin,levit    rows whose model contains one of these, in this order
python -m bench.zoo --cache DIR --table        the table alone

What is not in DIR stays on the page as it is there.

Each row is one `edgevit convert MODEL --precision fp32,fp16`, judged on 16 seeded synthetic images. Its
report is kept in DIR, so that an interrupted run goes on where it stopped; a row that failed is tried again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench._zoo.models import ENTRIES, ROOT, Entry, command_text
from bench._zoo.page import error_of, page, reached, row_file

PAGE = ROOT / "docs" / "zoo.md"
TARGETS = ("onnx", "tflite", "coreml")


def main() -> None:
    os.environ["EDGEVIT_CACHE"] = "off"  # what is measured is made, not remembered
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--cache", type=Path, required=True)
    cli.add_argument("--only", default="", help="texts of which the model's name contains one")
    cli.add_argument("--table", action="store_true", help="convert nothing")
    cli.add_argument("--again", action="store_true", help="also what is there already")
    cli.add_argument("--timeout", type=float, default=1800.0, help="seconds for each step of a conversion")
    cli.add_argument(
        "--keras-python", default=sys.executable, help="an interpreter with TensorFlow, for the Keras rows"
    )
    arguments = cli.parse_args()
    cache: Path = arguments.cache.absolute()
    cache.mkdir(parents=True, exist_ok=True)
    texts = arguments.only.split(",")
    chosen = list(dict.fromkeys(entry for text in texts for entry in ENTRIES if text in entry.model))
    if not arguments.table:
        _convert_all(chosen, cache, arguments)
    PAGE.write_text(page(cache, PAGE.read_text()))


def _convert_all(chosen: list[Entry], cache: Path, arguments: argparse.Namespace) -> None:
    for number, entry in enumerate(chosen, 1):
        path = row_file(entry, cache)
        if path.exists() and error_of(json.loads(path.read_text())) is None and not arguments.again:
            continue
        begin = time.perf_counter()
        print(f"[{number}/{len(chosen)}] {entry.family} {entry.model}", end=" ", flush=True)
        row = _convert(entry, cache, arguments.timeout, arguments.keras_python)
        path.write_text(json.dumps(row))
        told = error_of(row) or ", ".join(
            f"{a['target']} {a['precision']} {reached(a)}" for a in row["artifacts"]
        )
        print(f"{time.perf_counter() - begin:.0f} s: {told}", flush=True)
        PAGE.write_text(page(cache, PAGE.read_text()))


def _convert(entry: Entry, cache: Path, timeout: float, keras_python: str) -> dict[str, Any]:
    python = keras_python if entry.model.startswith("keras:") else sys.executable
    bundle = cache / "bundle"
    command = [python, "-m", "edgevit", "convert", command_text(entry, cache, keras_python), *entry.flags]
    command += ["--precision", "fp32,fp16", "--to", ",".join(TARGETS), "--jobs", "1", "--json", "--overwrite"]
    command += ["--timeout", str(timeout), "--threads", "1", "-o", str(bundle)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    try:
        row: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return {"error": {"message": done.stderr.strip()[-300:] or f"code {done.returncode}"}}
    return row


if __name__ == "__main__":
    main()
