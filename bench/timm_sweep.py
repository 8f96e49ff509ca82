"""The smallest model of each family of timm that no list names: exported, converted to one target, executed.

python -m bench.timm_sweep                     export alone, all families
python -m bench.timm_sweep --to coreml         fp32, executed and held against PyTorch
python -m bench.timm_sweep --only crossvit,pit --to tflite

A family is a module of timm; it is named if docs/zoo.md, bench/zoo_models.py or a test names one of its models.
Weights are random and seeded, the image is the smallest that the model takes. Each model runs in a process of its
own, which may crash or take too long. Prints one row for each.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Any, Final

from bench.zoo_models import ROOT
from edgevit.core.errors import EdgevitError
from edgevit.core.plugins import LoadRequest
from edgevit.core.runner import RunOptions
from edgevit.registries import METRICS, REWRITES, RUNTIMES, SOURCES, TARGETS

if TYPE_CHECKING:
    from edgevit.core.types import TorchModel

SIZES: Final = (64, 96, 128, 224, None)
RUNTIME: Final = {"onnx": "onnxruntime", "tflite": "litert", "coreml": "coreml_reference"}


def main() -> None:
    """One row for each family."""
    import timm
    import torch

    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--to", choices=sorted(RUNTIME), help="convert and execute too")
    cli.add_argument("--only", default="", help="families, named or not, separated by commas")
    cli.add_argument("--timeout", type=float, default=300.0, help="seconds for each model")
    asked = cli.parse_args()
    torch.set_num_threads(1)
    only = [name for name in asked.only.split(",") if name]
    print("| family | model | pixels | seconds | result |\n| --- | --- | --- | --- | --- |")
    for family in only or list(unnamed()):
        name = smallest(timm.list_models(module=family))
        begin = time.perf_counter()
        size, result = _apart(name, asked.to, asked.timeout)
        seconds = time.perf_counter() - begin
        print(f"| {family} | {name} | {size} | {seconds:.0f} | {result} |", flush=True)


def unnamed() -> Iterator[str]:
    """Modules of timm none of whose models stands in a list."""
    import timm

    lists = [ROOT / "docs/zoo.md", ROOT / "bench/zoo_models.py", *(ROOT / "tests").rglob("*.py")]
    words = {word for path in lists for word in re.findall(r"\w+", path.read_text())}
    for family in timm.list_modules():
        models = timm.list_models(module=family)
        if models and not words & set(models):
            yield family


def smallest(names: list[str]) -> str:
    """The model with the fewest parameters, of those that can be made without memory."""
    import timm
    import torch

    sizes = {}
    for name in names:
        try:
            with torch.device("meta"):
                module = timm.create_model(name, pretrained=False)
        except (RuntimeError, NotImplementedError, TypeError, ValueError):
            continue
        sizes[name] = sum(parameter.numel() for parameter in module.parameters())
    return min(sizes, key=sizes.__getitem__) if sizes else names[0]


def _apart(name: str, target: str | None, timeout: float) -> tuple[str, str]:
    """Image size and result, from a process of its own."""
    context = multiprocessing.get_context("fork")  # what is imported here need not be there again
    answers: Any = context.Queue()
    process = context.Process(target=lambda: answers.put(_row(name, target)))
    process.start()
    try:
        found: tuple[str, str] = answers.get(timeout=timeout)
    except Empty:
        found = ("", f"no answer within {timeout:.0f} s")
        process.kill()
    process.join()
    return found


def _row(name: str, target: str | None) -> tuple[str, str]:
    model, why = None, ""
    for size in SIZES:
        try:
            model = _load(name, size)
            break
        except EdgevitError as error:
            why = error.message
    if model is None:
        return "", f"not loaded: {_short(why)}"
    preprocess = model.spec.preprocess
    pixels = f"{preprocess.height}x{preprocess.width}"
    try:
        return pixels, _result(model, target)
    except EdgevitError as error:
        return pixels, f"**{_short(error.message)}**"
    except Exception as error:  # noqa: BLE001  whatever is wrong is what is looked for
        return pixels, f"**{type(error).__name__}: {_short(str(error))}**"


def _load(name: str, size: int | None) -> TorchModel:
    pair = None if size is None else (size, size)
    request = LoadRequest(f"timm:{name}", name, random_weights=0, image_size=pair)
    return SOURCES.get("timm").load(request)


def _result(model: TorchModel, target: str | None) -> str:
    import numpy as np

    from edgevit.graph.adapt import adapt
    from edgevit.graph.export import export_model
    from edgevit.program.sites import list_sites
    from edgevit.steps.run_float import run_float

    rewrites = {name: REWRITES.get(name) for name in REWRITES.names()}
    graph = export_model(model, rewrites)
    sites = len(list_sites(graph))
    if target is None:
        return f"{sites} operations"
    preprocess, plugin, runtime = model.spec.preprocess, TARGETS.get(target), RUNTIMES.get(RUNTIME[target])
    shape = (2, preprocess.height, preprocess.width, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    wanted = run_float(model, pixels)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model.{plugin.suffix}"
        graph = adapt(graph, rewrites, target, planned=False)
        plugin.write(plugin.prepare(graph, model.spec, {}), "fp32", None, path)
        contents = runtime.contents(path)
        with runtime.open(path, RunOptions(threads=1)) as runner:
            found = runner.run(pixels)
    level = min(METRICS.get("sqnr").compute(wanted[key], found[key], None) for key in wanted)
    return (
        f"{level:.0f} dB, {sum(count for _, count in contents.operators)} operators, rank {contents.max_rank}"
    )


def _short(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")[:200]


if __name__ == "__main__":
    main()
