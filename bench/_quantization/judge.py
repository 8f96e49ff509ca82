"""Execute one file on the benchmark's images and hold it against PyTorch; time it beside its float file.

    python -m bench._quantization.judge prepare MODEL --cache DIR --images N
    python -m bench._quantization.judge execute MODEL FILE OUT --cache DIR --images N
    python -m bench._quantization.judge time MODEL FILE OUT --cache DIR --images N --base FLOATFILE

The parts are those of `edgevit validate`, with one reference for all files of a model instead of one for each,
and on all images for the tools' files and for edgevit's own alike.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from edgevit.core._plain import from_plain, to_plain
from edgevit.core.disk.artifact import artifact_size
from edgevit.core.errors import EdgevitError
from edgevit.core.plugins import Runtime
from edgevit.core.runner import RunOptions
from edgevit.core.types import Preprocess
from edgevit.registries import METRICS, RUNTIMES
from edgevit.steps.artifacts import find_artifacts, runtime_for
from edgevit.steps.time_files import Candidate, in_turn
from edgevit.validate.accuracy import measure_accuracy
from edgevit.validate.latency import ratio_of_medians

if TYPE_CHECKING:
    from edgevit.core.types import Floats

CHUNK: Final = 50
ROUNDS: Final = 60


def main() -> None:
    """One step, in a process of its own."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("step", choices=("prepare", "execute", "time"))
    cli.add_argument("model")
    cli.add_argument("file", type=Path, nargs="?")
    cli.add_argument("out", type=Path, nargs="?")
    cli.add_argument("--cache", type=Path, required=True)
    cli.add_argument("--images", type=int, required=True)
    cli.add_argument("--base", type=Path)
    asked = cli.parse_args()
    if asked.step == "prepare":
        _prepare(asked.model, asked.cache, asked.images)
        return
    told: dict[str, Any]
    try:
        if asked.step == "execute":
            told = _execute(asked.file, asked.cache / asked.model, asked.images)
        else:
            told = _time(asked.base, asked.file, asked.cache / asked.model, asked.images)
    except EdgevitError as error:
        told = {"error": error.message[:200]}
    asked.out.write_text(json.dumps(told))


def facts(folder: Path, images: int) -> dict[str, Any]:
    """What `prepare` found out about a model: preprocess, macs, top1."""
    found: dict[str, Any] = json.loads((folder / f"facts-{images}.json").read_text())
    return found


def _prepare(name: str, cache: Path, images: int) -> None:
    """The images, and what PyTorch makes of them."""
    import torch

    from bench import real_models
    from bench._quantization.peer_input import pixels_of
    from edgevit.core.pixels import normalise
    from edgevit.graph.export import export_model
    from edgevit.program.sites import total_macs
    from edgevit.registries import REWRITES

    model = real_models.load(name, cache)
    preprocess = model.spec.preprocess
    pixels, classes = pixels_of(model.spec, "demo:evaluation", images)
    assert classes is not None, "the labels are those of the demo"
    parts = []
    with torch.no_grad():
        for start in range(0, len(pixels), CHUNK):
            values = torch.from_numpy(normalise(pixels[start : start + CHUNK], preprocess))
            parts.append(model.module.eval()(values).numpy())
    reference = np.concatenate(parts)
    folder = cache / name
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / f"images-{images}.npz", pixels=pixels, classes=classes, reference=reference)
    graph = export_model(model, {rewrite: REWRITES.get(rewrite) for rewrite in REWRITES.names()})
    told = {
        "preprocess": to_plain(preprocess),
        "macs": total_macs(graph),
        "top1": 100.0 * float((reference.argmax(1) == classes).mean()),
        "images": len(pixels),
    }
    (folder / f"facts-{images}.json").write_text(json.dumps(told))


def _execute(file: Path, folder: Path, images: int) -> dict[str, Any]:
    told = facts(folder, images)
    held = np.load(folder / f"images-{images}.npz")
    outputs = _run(file, _runtime(file), _preprocess(told), held["pixels"])
    reference, classes = held["reference"], held["classes"]
    if outputs.shape != reference.shape:
        return {"error": f"outputs {outputs.shape} instead of {reference.shape}"}
    integer = _runtime(file).integer_macs(file)
    accuracy = measure_accuracy(reference, outputs, classes)
    return {
        "top1": accuracy.top1,
        "drop": accuracy.drop_pp,
        "drop_ci95": accuracy.drop_ci95,
        "agreement": accuracy.agreement,
        "sqnr_db": METRICS.get("sqnr").compute(reference, outputs, None),
        "bytes": artifact_size(file),
        "static": integer.static / told["macs"],
        "dynamic": integer.dynamic / told["macs"],
        "runtime": _runtime(file).label(),
    }


def _run(file: Path, runtime: Runtime, preprocess: Preprocess, pixels: NDArray[np.uint8]) -> Floats:
    with runtime.open(file, RunOptions(0, (), preprocess)) as runner:
        parts = [_first(runner.run(pixels[i : i + CHUNK])) for i in range(0, len(pixels), CHUNK)]
    return np.concatenate(parts)


def _first(outputs: dict[str, NDArray[np.generic]]) -> Floats:
    """The logits: the first output that is made of numbers."""
    found = next(value for value in outputs.values() if value.dtype.kind in "fiu")
    return found.reshape(len(found), -1).astype(np.float32)


def _time(base: Path, file: Path, folder: Path, images: int) -> dict[str, Any]:
    """The file and its float file in turn, on this computer."""
    runtime, preprocess = _runtime(file), _preprocess(facts(folder, images))
    image = np.load(folder / f"images-{images}.npz")["pixels"][:1]
    pair = tuple(Candidate(path, runtime, preprocess) for path in (base, file))
    float_time, own = in_turn(pair, image, os.cpu_count() or 1, ROUNDS)
    ratio = ratio_of_medians(own.runs_ms, float_time.runs_ms)
    return {
        "ratio": ratio.value,
        "ci95": ratio.ci95,
        "float_ms": float(np.median(float_time.runs_ms)),
        "p50_ms": float(np.median(own.runs_ms)),
        "runs": len(own.runs_ms),
    }


def _runtime(file: Path) -> Runtime:
    (found,) = find_artifacts(file)
    return RUNTIMES.get(runtime_for(found.target))


def _preprocess(told: dict[str, Any]) -> Preprocess:
    return from_plain(Preprocess, told["preprocess"], "preprocess")


if __name__ == "__main__":
    main()
