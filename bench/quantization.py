"""Quantized files of edgevit and of other tools, made from one float model, executed on the same images.

    python -m bench.quantization --cache DIR --model r1                      everything that is not there yet
    python -m bench.quantization --cache DIR --model r1 --only ours          edgevit's files alone
    python -m bench.quantization --cache DIR --model r1 --only ort-static    one peer, by its name
    python -m bench.quantization --cache DIR --model r1 --stage time --stage compare   latency, on a free machine
    python -m bench.quantization --cache DIR --model r1 --table              what is there, as a table
    python -m bench.quantization --cache DIR --model r1 --ablation           what each step of the plan is worth

DIR holds the models of bench.real_models. The stages are make (128 calibration images from the demo's training
split), execute (the demo's test split), time (in turn with the float file of the same tool, all cores) and compare
(edgevit's file in turn with a peer's of the same precision). Every file's results are kept in DIR/MODEL, so that a
run goes on where it stopped; remove a file's folder to make it again. The results are written to
DIR/quantization-MODEL.csv, and printed as the table of docs/benchmarks.md. bench/results has those that the page
shows, and `python -m bench.chart` draws them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench._quantization import ours as our_files
from bench._quantization import peers, table
from bench._quantization.ablation import ablation
from bench._quantization.table import Row
from bench.real_models import MODELS, weights_path

STAGES = ("make", "execute", "time", "compare")


def main() -> None:
    """Make, execute, time, print."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--cache", type=Path, required=True)
    cli.add_argument("--model", choices=MODELS, required=True)
    cli.add_argument("--images", type=int, default=1000)
    cli.add_argument("--calibration", type=int, default=128)
    cli.add_argument("--only", default="", help=f"ours, or one of: {', '.join(peers.PEERS)}")
    cli.add_argument("--target", choices=peers.SUFFIXES)
    cli.add_argument(
        "--precision", default="", help="w8a8, w8da8, w8, w4, lut4, lut6 or float; all without it"
    )
    cli.add_argument("--stage", choices=STAGES, action="append", help="all without it; repeatable")
    cli.add_argument("--table", action="store_true", help="of all files; do nothing else")
    cli.add_argument("--ablation", action="store_true", help="in simulation, of edgevit's w8a8 plans")
    asked = cli.parse_args()
    if asked.only not in ("", "ours", *peers.PEERS):
        cli.error(f"--only {asked.only}: ours, or one of {', '.join(peers.PEERS)}")
    folder = asked.cache / asked.model
    if asked.ablation:
        text = ablation(asked.model, asked.cache, asked.calibration, asked.images, asked.target)
        (asked.cache / f"ablation-{asked.model}.md").write_text(text)
        print(text)
        return
    rows = tuple(_rows(asked, folder))
    if not asked.table:
        if not weights_path(asked.cache, asked.model).exists():
            cli.error(f"{weights_path(asked.cache, asked.model)} is missing: run bench.real_models first")
        if not (folder / f"facts-{asked.images}.json").exists():
            _child("prepare", asked.model, "--cache", asked.cache, "--images", asked.images, log=None)
        for stage in STAGES:
            if asked.stage is None or stage in asked.stage:
                for row in rows:
                    _do(stage, row, asked)
    everything = argparse.Namespace(only="", target=None, precision="")
    files = tuple(_rows(everything, folder))
    results = asked.cache / f"quantization-{asked.model}.csv"
    table.write_csv(results, files, asked.images)
    print(table.facts_and_remarks(asked.model, folder, files, asked.images))
    print(table.markdown(results))


def _rows(asked: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """The files that are asked for, each target's float files first, since the others are held against them."""
    for target, suffix in peers.SUFFIXES.items():
        if asked.target not in (None, target):
            continue
        for precision in our_files.precisions(target):
            if asked.only in ("", "ours") and _wanted(asked, precision):
                path = our_files.file_of(folder, target, precision)
                base = our_files.file_of(folder, target, peers.FLOAT)
                yield Row(
                    target,
                    "edgevit",
                    precision,
                    "ours",
                    our_files.folder_of(folder, target, precision),
                    path,
                    base,
                )
        for name, peer in peers.PEERS.items():
            needed = asked.only == name or peer.precision == peers.FLOAT
            if (
                peer.target != target
                or asked.only == "ours"
                or not (asked.only == "" or needed or _half(name, asked))
            ):
                continue
            if _wanted(asked, peer.precision):
                out = folder / target / peers.folder_of(name)
                base = folder / target / peers.FLOAT / f"model.{suffix}"
                own = our_files.file_of(folder, target, peer.precision)
                ours = None if peer.precision in (peers.FLOAT, peers.HALF) else own
                yield Row(target, peer.tool, peer.precision, name, out, out / f"model.{suffix}", base, ours)


def _half(name: str, asked: argparse.Namespace) -> bool:
    """Core ML's weights are compressed in the float16 package."""
    return name == "coreml-half" and peers.PEERS[asked.only].target == "coreml"


def _wanted(asked: argparse.Namespace, precision: str) -> bool:
    floats = (peers.FLOAT, peers.HALF)
    if asked.precision == "float":
        return precision in floats
    return asked.precision in ("", precision) or precision in floats


def _do(stage: str, row: Row, asked: argparse.Namespace) -> None:
    """One stage of one file, unless its result is there."""
    results = {
        "make": row.made,
        "execute": row.judged(asked.images),
        "time": row.timed,
        "compare": row.compared,
    }
    out = results[stage]
    if out.exists() or (stage != "make" and not row.file.exists()):
        return
    floats = (peers.FLOAT, peers.HALF)
    if stage == "execute" and row.precision in floats and asked.precision not in ("", "float"):
        return  # they are there as the base of others
    if stage == "time" and (not row.base.exists() or row.file == row.base or row.target == "coreml"):
        return
    if stage == "compare" and (row.ours is None or not row.ours.exists() or row.target == "coreml"):
        return
    begin = time.perf_counter()
    if stage == "make":
        maker: Any = our_files if row.name == "ours" else peers
        word = row.precision if row.name == "ours" else row.name
        maker.make(asked.model, word, row.folder, asked.cache, asked.calibration)
    else:
        file, base = (row.ours, row.file) if stage == "compare" else (row.file, row.base)
        where = ("--cache", asked.cache, "--images", asked.images, "--base", base)
        step = "time" if stage == "compare" else stage
        _child(step, asked.model, file, out, *where, log=row.folder / f"{stage}.txt")
        if not out.exists():
            out.write_text(json.dumps({"error": f"{stage}: the process died"}))
    told = json.loads(out.read_text())
    shown = {k: round(v, 3) if isinstance(v, float) else v for k, v in told.items() if k != "plain"}
    print(
        f"{row.target} {row.name} {row.precision} {stage}, {time.perf_counter() - begin:.0f} s: {shown}",
        flush=True,
    )


def _child(step: str, *words: object, log: Path | None) -> None:
    command = [sys.executable, "-m", "bench._quantization.judge", step, *map(str, words)]
    if log is None:
        subprocess.run(command, check=True)
        return
    with log.open("w") as stream:
        subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, check=False)


if __name__ == "__main__":
    main()
