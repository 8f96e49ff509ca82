"""The smallest model of each family of timm that no list names: exported, converted, executed.

python -m bench.timm_sweep                              export alone, all families
python -m bench.timm_sweep --to onnx,tflite,coreml      fp32, executed and held against PyTorch
python -m bench.timm_sweep --only crossvit,pit --to tflite
python -m bench.timm_sweep --to onnx,tflite,coreml --cache DIR    goes on where it was stopped

A family is a module of timm; it is named if docs/zoo.md, bench/_zoo/models.py or a test names one of its models.
Weights are random and seeded, the image is the smallest that the model takes. Each model runs in a process of its
own, and each target in one more, which may crash or take too long. Prints one row for each family.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench._zoo.models import ROOT
from edgevit.core.errors import EdgevitError
from edgevit.core.plugins import LoadRequest
from edgevit.core.runner import RunOptions
from edgevit.registries import METRICS, REWRITES, RUNTIMES, SOURCES, TARGETS

if TYPE_CHECKING:
    from edgevit.core.types import Floats, Graph, Pixels, TorchModel

SIZES: Final = (64, 96, 128, 224, None)
RUNTIME: Final = {"onnx": "onnxruntime", "tflite": "litert", "coreml": "coreml_reference"}
FAILED: Final = "**"


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of one family: its model, the size of the image, and a line for each target."""

    family: str
    model: str
    pixels: str = ""
    results: dict[str, str] = field(default_factory=dict)

    def show(self, columns: list[str]) -> str:
        cells = (self.family, self.model, self.pixels, *(self.results.get(c, "not run") for c in columns))
        return f"| {' | '.join(cells)} |"


def main() -> None:
    """One row for each family."""
    import timm
    import torch

    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--to", default="", help="targets, separated by commas: convert and execute too")
    cli.add_argument("--only", default="", help="families, named or not, separated by commas")
    cli.add_argument("--timeout", type=float, default=300.0, help="seconds for each model and target")
    cli.add_argument("--cache", type=Path, help="folder of what is known already; failures are tried again")
    asked = cli.parse_args()
    torch.set_num_threads(1)
    only = [name for name in asked.only.split(",") if name]
    columns = [name for name in asked.to.split(",") if name] or ["export"]
    for module in (m for c in columns if c in RUNTIME for m in TARGETS.get(c).modules):
        importlib.import_module(module)  # once here, instead of in each process
    print("| " + " | ".join(("family", "model", "pixels", *columns)) + " |")
    print("| " + " | ".join("---" for _ in range(3 + len(columns))) + " |", flush=True)
    for family in only or list(unnamed()):
        known = _read(asked.cache, family) or Row(family, smallest(timm.list_models(module=family)))
        missing = [c for c in columns if known.results.get(c, FAILED).startswith(FAILED)]
        row = _completed(known, missing, asked.timeout) if missing else known
        _keep(asked.cache, row)
        print(row.show(columns), flush=True)


def unnamed() -> Iterator[str]:
    """Modules of timm none of whose models stands in a list."""
    import timm

    lists = [ROOT / "docs/zoo.md", ROOT / "bench/_zoo/models.py", *(ROOT / "tests").rglob("*.py")]
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


def _read(cache: Path | None, family: str) -> Row | None:
    path = None if cache is None else cache / f"{family}.json"
    return Row(**json.loads(path.read_text())) if path is not None and path.is_file() else None


def _keep(cache: Path | None, row: Row) -> None:
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
        (cache / f"{row.family}.json").write_text(json.dumps(asdict(row), indent=1))


def _completed(row: Row, columns: list[str], timeout: float) -> Row:
    """The row with the columns that are missing, from a process of its own."""
    found = _apart(lambda: _answers(row.model, columns, timeout), timeout * (1 + len(columns)))
    if isinstance(found, str):
        return Row(row.family, row.model, row.pixels, row.results | dict.fromkeys(columns, found))
    pixels, results = found
    return Row(row.family, row.model, pixels, row.results | results)


def _apart(work: Callable[[], Any], timeout: float) -> Any:
    """What `work` returns in a process of its own, or a failure in words."""
    context = multiprocessing.get_context("fork")  # what is imported and loaded here need not be there again
    receiver, sender = context.Pipe(duplex=False)

    def answer() -> None:
        try:
            sender.send(work())
        except EdgevitError as error:
            sender.send(f"{FAILED}{_short(error.message)}{FAILED}")
        except Exception as error:  # noqa: BLE001  whatever is wrong is what is looked for
            sender.send(f"{FAILED}{type(error).__name__}: {_short(str(error))}{FAILED}")

    process = context.Process(target=answer)
    process.start()
    sender.close()
    try:
        if receiver.poll(timeout):
            return receiver.recv()
        process.kill()
        return f"{FAILED}no answer within {timeout:.0f} s{FAILED}"
    except EOFError:
        return f"{FAILED}the process ended without an answer{FAILED}"
    finally:
        process.join()


def _answers(name: str, columns: list[str], timeout: float) -> tuple[str, dict[str, str]]:
    """Pixels, and a line for each column; exported once, converted to each target in a process of its own."""
    import numpy as np

    from edgevit.graph.export import export_model
    from edgevit.program.sites import list_sites
    from edgevit.steps.run_float import run_float

    model = _load(name)
    preprocess = model.spec.preprocess
    graph = export_model(model, _rewrites())
    shape = (2, preprocess.height, preprocess.width, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    wanted = run_float(model, pixels)
    results = {
        column: f"{len(list_sites(graph))} operations"
        if column == "export"
        else _apart(lambda target=column: _executed(model, graph, target, pixels, wanted), timeout)
        for column in columns
    }
    return f"{preprocess.height}x{preprocess.width}", results


def _load(name: str) -> TorchModel:
    """The model at the smallest size that it takes."""
    why: EdgevitError | None = None
    for size in SIZES:
        pair = None if size is None else (size, size)
        resize = {} if size is None else {"resize": f"{size}x{size}"}  # nothing here is resized
        try:
            return SOURCES.get("timm").load(
                LoadRequest(f"timm:{name}", name, random_weights=0, image_size=pair, preprocess=resize)
            )
        except EdgevitError as error:
            why = error
    assert why is not None
    raise why


def _rewrites() -> dict[str, Any]:
    return {name: REWRITES.get(name) for name in REWRITES.names()}


def _executed(model: TorchModel, graph: Graph, target: str, pixels: Pixels, wanted: dict[str, Floats]) -> str:
    """SQNR of the fp32 file against PyTorch, of the worst output."""
    from edgevit.graph.adapt import adapt

    plugin, runtime = TARGETS.get(target), RUNTIMES.get(RUNTIME[target])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model.{plugin.suffix}"
        graph = adapt(graph, _rewrites(), target, planned=False)
        plugin.write(plugin.prepare(graph, model.spec, {}), "fp32", None, path)
        contents = runtime.contents(path)
        with runtime.open(path, RunOptions(threads=1)) as runner:
            found = runner.run(pixels)
    level = min(METRICS.get("sqnr").compute(wanted[key], found[key], None) for key in wanted)
    operators = sum(count for _, count in contents.operators)
    return f"{level:.0f} dB, {operators} operators, rank {contents.max_rank}"


def _short(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")[:300]


if __name__ == "__main__":
    main()
