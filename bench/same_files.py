"""Whether this checkout makes the same files as another one, but for metadata: the demo, and docs/zoo.md.

    git worktree add ../before REVISION
    python -m bench.same_files --before ../before --cache DIR
    python -m bench.same_files --before ../before --cache DIR --only swin --to onnx,tflite,coreml
    python -m bench.same_files --before ../before --cache DIR --only demo --precision fp32,fp16,w8,w8a8 --to tflite

Each model is converted by both at the same time, with seeded weights, by the same interpreter; quantized files are
calibrated on 16 synthetic images, those of the demo on its own. A row says `same`, `other`, or what kept one of
them from making the files. What is done is kept in DIR. Exit code 1 if a file or a verdict is another one. Keras'
models are left out: they need another interpreter.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from bench._zoo.models import ENTRIES, ROOT, Entry, command_text

DEMO: Final = Entry("demo", "demo", flags=())
# Branches are fused since they can be, which is meant to make other files.
_NOW: Final = ("--without", "reparameterize")


def main() -> int:
    os.environ["EDGEVIT_CACHE"] = "off"  # what is measured is made, not remembered
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--before", type=Path, required=True, help="the other checkout")
    cli.add_argument("--cache", type=Path, required=True)
    cli.add_argument("--only", default="", help="texts of which the model's name contains one")
    cli.add_argument("--to", default="onnx")
    cli.add_argument("--precision", default="fp32")
    asked = cli.parse_args()
    cache: Path = asked.cache.absolute()
    cache.mkdir(parents=True, exist_ok=True)
    texts = asked.only.split(",")
    entries = [
        e for e in (DEMO, *ENTRIES) if not e.model.startswith("keras:") and any(t in e.model for t in texts)
    ]
    if not entries:
        cli.error(f"no model's name contains {asked.only}")
    counts: Counter[str] = Counter()
    for entry in entries:
        for target in asked.to.split(","):
            told = _compared(entry, target, asked.precision, asked.before.absolute(), cache)
            counts[told.partition(":")[0]] += 1
            print(f"{entry.family} {entry.model} {target}: {told}", flush=True)
    print(", ".join(f"{count} {word}" for word, count in counts.most_common()))
    return int(set(counts) != {"same"})


def _compared(entry: Entry, target: str, precisions: str, before: Path, cache: Path) -> str:
    key = hashlib.sha256(f"{entry.source} {target} {precisions}".encode()).hexdigest()[:16]
    kept = cache / f"{key}.txt"
    if kept.exists():
        return kept.read_text()
    text = command_text(entry, cache, sys.executable)
    sides = ((before, ()), (ROOT, _NOW))
    with ThreadPoolExecutor(len(sides)) as pool:
        made = [
            pool.submit(_convert, entry, text, target, precisions, root, cache / f"{key}-{index}", more)
            for index, (root, more) in enumerate(sides)
        ]
        first, second = (future.result() for future in made)
    broken = next((side for side in (first, second) if side.startswith("failed")), None)
    told = broken or ("same" if first == second else f"other: {first} and {second}")
    if broken is None:
        kept.write_text(told)
    return told


def _convert(
    entry: Entry, text: str, target: str, precisions: str, root: Path, out: Path, more: tuple[str, ...]
) -> str:
    """Digest of each file without its metadata, and its verdict; or `failed` and the error."""
    wanted = (
        "--precision",
        precisions,
        "--to",
        target,
        "--threads",
        "1",
        "-q",
        "--overwrite",
        "-o",
        str(out),
    )
    images = () if entry is DEMO else ("--calibrate", "synthetic:16", "--calibration-count", "16")
    command = [sys.executable, "-m", "edgevit", "convert", text, *entry.flags, *images, *wanted, *more]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    try:
        artifacts = json.loads((out / "report.json").read_text())["artifacts"]
        told = [
            f"{a['precision']} {hashlib.sha256(_FORMATS[target](out / a['path'])).hexdigest()[:16]} {a['verdict']}"
            for a in artifacts
        ]
    except (OSError, ValueError, TypeError, KeyError):
        return f"failed: code {done.returncode}: {' '.join(done.stderr.split())[-300:]}"
    finally:
        shutil.rmtree(out, ignore_errors=True)
    return ", ".join(told)


def _onnx(path: Path) -> bytes:
    import onnx

    model = onnx.load(path)
    del model.metadata_props[:]
    return model.SerializeToString(deterministic=True)


def _coreml(path: Path) -> bytes:
    from edgevit.core.require import require

    model = require("coremltools.proto.Model_pb2").Model()
    model.ParseFromString(next(path.rglob("model.mlmodel")).read_bytes())
    model.description.metadata.Clear()
    program: bytes = model.SerializeToString(deterministic=True)
    return program + b"".join(part.read_bytes() for part in sorted(path.rglob("weight.bin")))


def _tflite(path: Path) -> bytes:
    """Operators, tensors with their values, and signatures; how buffers are numbered depends on the metadata."""
    from converters.tflite import flatbuffer as tfl

    model = tfl.read(path.read_bytes())
    graphs = [
        {
            "tensors": [{**_plain(t), "buffer": _plain(model.buffers[t.buffer].data)} for t in graph.tensors],
            "rest": [
                _plain(graph.operators),
                _plain(graph.inputs),
                _plain(graph.outputs),
                _plain(graph.name),
            ],
        }
        for graph in model.subgraphs
    ]
    return json.dumps([graphs, _plain(model.operatorCodes), _plain(model.signatureDefs)]).encode()


def _plain(value: Any) -> Any:
    import numpy as np

    if value is None or isinstance(value, int | float | str):
        return value
    if isinstance(value, np.ndarray):
        return hashlib.sha256(value.tobytes()).hexdigest()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return {name: _plain(item) for name, item in sorted(vars(value).items())}


_FORMATS: Final[Mapping[str, Callable[[Path], bytes]]] = {"onnx": _onnx, "tflite": _tflite, "coreml": _coreml}


if __name__ == "__main__":
    sys.exit(main())
