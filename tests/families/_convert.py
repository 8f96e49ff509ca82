"""One model through a target in one process: export, adapt, write, execute, compare with PyTorch."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edgevit.core.pixels import normalise
from edgevit.core.plugins import LoadRequest
from edgevit.core.runner import RunOptions
from edgevit.core.settings.model_text import parse_source
from edgevit.core.types import ModelSpec, TorchModel
from edgevit.graph.adapt import adapt
from edgevit.graph.export import export_model
from edgevit.graph.float16.range_analysis import scan
from edgevit.program import graph_file
from edgevit.registries import REWRITES, RUNTIMES, SOURCES, TARGETS
from tests._sqnr import sqnr

# What executes a file on any system.
RUNTIME_OF = {"onnx": "onnxruntime", "tflite": "litert", "coreml": "coreml_reference"}
# dB that every output of a file must reach against PyTorch.
LIMITS = {"fp32": 80.0, "fp16": 40.0}


@dataclass(frozen=True, slots=True)
class Exported:
    """A model with its Graph on disk, and what PyTorch gives on `pixels`.

    Attributes:
        graph: .pt2 after the rewrites that all targets share.
        pixels: uint8 (N, height, width, 3).
        reference: for each output of `spec`, float32 (N, ...).
    """

    spec: ModelSpec
    graph: Path
    pixels: NDArray[np.uint8]
    reference: tuple[NDArray[np.float32], ...]


@dataclass(frozen=True, slots=True)
class Executed:
    """One written and executed file.

    Attributes:
        sqnr: dB against PyTorch, by output.
        differs: whether shapes or names of the outputs differ from PyTorch's, in words; empty if not.
        operators: number of operators without constants.
    """

    precision: str
    sqnr: dict[str, float]
    differs: str
    max_rank: int
    operators: int
    seconds: float


def load(
    source: str,
    *,
    seed: int | None = 1,
    size: tuple[int, int] | None = None,
    classes: int | None = None,
    **args: object,
) -> TorchModel:
    """A model by its MODEL text with seeded random weights, its own for None; `args` as `--model-arg` takes them."""
    name, argument = parse_source(source)
    request = LoadRequest(
        source=source,
        argument=argument,
        random_weights=seed,
        num_classes=classes,
        image_size=size,
        model_args={key: str(value) for key, value in args.items()},
        preprocess={"normalize": "imagenet"} if seed is None and name == "python" else {},
    )
    return SOURCES.get(name).load(request)


def export(model: TorchModel, folder: Path, images: int = 2) -> Exported:
    """Export `model` into `folder` and run PyTorch on images that differ in what they show."""
    rewrites = {name: REWRITES.get(name) for name in REWRITES.names()}
    preprocess = model.spec.preprocess
    pixels = pictures(images, preprocess.height, preprocess.width)
    reference = []
    with torch.no_grad():
        for image in torch.from_numpy(normalise(pixels, preprocess)):
            found = model.module(image[None])
            reference.append(found if isinstance(found, tuple | list) else (found,))
    stacked = tuple(torch.cat(values).numpy() for values in zip(*reference, strict=True))
    path = folder / "graph.pt2"
    graph_file.save(export_model(model, rewrites), path)
    return Exported(model.spec, path, pixels, stacked)


def pictures(count: int, height: int, width: int) -> NDArray[np.uint8]:
    """Coloured squares under noise: noise alone looks the same to a network that averages over places."""
    rng = np.random.default_rng(0)
    squares = rng.integers(0, 192, (count, 4, 4, 3))
    rows, columns = (np.arange(side) * 4 // side for side in (height, width))
    noise = rng.integers(0, 64, (count, height, width, 3))
    return (squares[:, rows][:, :, columns] + noise).astype(np.uint8)


def execute(exported: Exported, target: str, folder: Path) -> tuple[Executed, ...]:
    """Write and execute the fp32 and the fp16 file of `target`, that one with what float16 would spoil in float32."""
    rewrites = {name: REWRITES.get(name) for name in REWRITES.names()}
    plugin, runtime = TARGETS.get(target), RUNTIMES.get(RUNTIME_OF[target])
    begin = time.perf_counter()
    graph = adapt(graph_file.load(exported.graph), rewrites, target, planned=False)
    spoiled = scan(graph, torch.from_numpy(normalise(exported.pixels, exported.spec.preprocess)))
    keep = {"fp32": frozenset[str](), "fp16": frozenset(site.site for site in spoiled)}
    prepared = plugin.prepare(graph, exported.spec, {})
    found = []
    for precision in LIMITS:
        path = folder / f"{precision}.{plugin.suffix}"
        plugin.write(prepared, precision, None, path, keep[precision])
        contents = runtime.contents(path)
        with runtime.open(path, RunOptions(threads=1)) as runner:
            outputs = runner.run(exported.pixels)
        levels, differs = _compare(exported, outputs)
        found.append(
            Executed(
                precision,
                levels,
                differs,
                contents.max_rank,
                sum(count for kind, count in contents.operators if kind != "const"),
                time.perf_counter() - begin,
            )
        )
        begin = time.perf_counter()
    return tuple(found)


def _compare(exported: Exported, outputs: dict[str, NDArray[np.generic]]) -> tuple[dict[str, float], str]:
    levels = {}
    for spec, wanted in zip(exported.spec.outputs, exported.reference, strict=True):
        if spec.name not in outputs:
            return levels, f"no output {spec.name} among {', '.join(outputs)}"
        if outputs[spec.name].shape != wanted.shape:
            return levels, f"{spec.name} is {outputs[spec.name].shape}, not {wanted.shape}"
        levels[spec.name] = sqnr(wanted, outputs[spec.name])
    return levels, ""


def check(executed: Executed, rank_limit: int | None = None) -> None:
    """Hold one file against the limits.

    Args:
        rank_limit: highest rank of any tensor, None for any.
    """
    assert not executed.differs, executed
    for output, level in executed.sqnr.items():
        assert level >= LIMITS[executed.precision], f"{output}: {executed}"
    assert rank_limit is None or executed.max_rank <= rank_limit, executed
