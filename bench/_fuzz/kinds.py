"""The kinds of files that edgevit reads, and how the commands read each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench._fuzz.seeds import PREPROCESS

Reads = Callable[[Path], tuple[tuple[str, dict[str, Any]], ...]]

_HERE: Final = "bench._fuzz.kinds"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of file.

    Attributes:
        files: those that are changed, one at a time, below the folder of the seeds.
        reads: the folder -> the worker functions that a command calls, with their requests, in order.
        in_parent: the command reads it in its own process, where nothing but an `EdgevitError` may leave.
    """

    name: str
    files: tuple[str, ...]
    reads: Reads
    in_parent: bool = False


def _artifact(*files: str) -> Reads:
    """`edgevit inspect`, what `edgevit diff` lists, then `edgevit run`."""

    def reads(place: Path) -> tuple[tuple[str, dict[str, Any]], ...]:
        found: list[tuple[str, dict[str, Any]]] = []
        for file in files:
            path = str(place / file)
            images = {"artifact": path, "images": [str(place / "image.png")], "top": 3, "threads": 1}
            found += [
                ("edgevit.steps.inspect:artifact", {"path": path}),
                (f"{_HERE}:values", {"path": path}),
                ("edgevit.steps.classify:classify", images),
            ]
        return tuple(found)

    return reads


def _own(function: str, **request: str) -> Reads:
    """A function of this module; what stands in `request` is below the folder."""
    return lambda place: ((f"{_HERE}:{function}", {key: str(place / v) for key, v in request.items()}),)


_CORE_ML: Final = "model.mlpackage/Data/com.apple.CoreML"
_HF: Final = ("hf/config.json", "hf/preprocessor_config.json", "hf/model.safetensors")
_PARTS: Final = ("parts/pytorch_model.bin.index.json", "parts/pytorch_model-00001-of-00002.bin")
_IMAGES: Final = tuple(
    f"images/{name}" for name in ("a.png", "b.jpg", "c.webp", "d.bmp", "e.gif", "f.tif", "g.avif")
)
_LABELS: Final = ("labels.txt", "labels.json", "labels.csv", "labels.yaml")

KINDS: Final = (
    Kind("onnx", ("plain.onnx", "w8a8.onnx"), _artifact("plain.onnx", "w8a8.onnx")),
    Kind("onnx-external", ("external.onnx", "external.data"), _artifact("external.onnx")),
    Kind("tflite", ("plain.tflite", "w8a8.tflite"), _artifact("plain.tflite", "w8a8.tflite")),
    Kind("mlpackage model", (f"{_CORE_ML}/model.mlmodel",), _artifact("model.mlpackage")),
    Kind("mlpackage weights", (f"{_CORE_ML}/weights/weight.bin",), _artifact("model.mlpackage")),
    Kind("mlpackage manifest", ("model.mlpackage/Manifest.json",), _artifact("model.mlpackage")),
    Kind("pt2", ("program.pt2",), _own("program", path="program.pt2")),
    Kind("safetensors", ("weights.safetensors",), _own("weights", path="weights.safetensors")),
    Kind("pth", ("weights.pth",), _own("weights", path="weights.pth")),
    Kind("checkpoint", ("model_best.pth.tar",), _own("weights", path="model_best.pth.tar")),
    Kind("weights index", _PARTS, _own("weights", path="parts")),
    Kind("npz weights", ("weights.npz",), _own("weights", path="weights.npz")),
    Kind("keras", ("model.keras",), _own("keras", path="model.keras")),
    Kind("hf folder", _HF, _own("folder", path="hf")),
    Kind("hf index", ("hf-parts/model.safetensors.index.json",), _own("folder", path="hf-parts")),
    Kind("npz images", ("images.npz",), _own("images", path="images.npz")),
    Kind("npy images", ("images.npy",), _own("images", path="images.npy")),
    Kind("table of images", ("flat/metadata.csv",), _own("images", path="flat")),
    Kind("images", _IMAGES, _own("images", path="images")),
    Kind("plan", ("plan/plan.json", "plan/plan.safetensors"), _own("plan", path="plan", graph="graph.pt2")),
    Kind("plan settings", ("settings/plan.json",), _own("settings", path="settings"), in_parent=True),
    Kind("manifest", ("bundle/manifest.json",), _own("manifest", path="bundle"), in_parent=True),
    Kind("report", ("report.json",), _own("report", path="report.json"), in_parent=True),
    Kind("recipe", ("recipe.toml",), _own("recipe", path="recipe.toml"), in_parent=True),
    *(Kind(name, (name,), _own("labels", path=name), in_parent=True) for name in _LABELS),
)


def values(request: dict[str, Any], emit: object) -> dict[str, Any]:
    """The tensors of a converted file, as `edgevit diff` lists them."""
    from edgevit.steps.artifacts import contents_of

    path = Path(request["path"])
    runtime, _ = contents_of(path)
    return {} if runtime.values is None else {"values": len(runtime.values(path))}


def _load(source: str, argument: str, **more: Any) -> dict[str, Any]:
    from edgevit.core.plugins import LoadRequest
    from edgevit.registries import SOURCES

    text = argument if source == "exported" else f"{source}:{argument}"
    model = SOURCES.get(source).load(LoadRequest(source=text, argument=argument, **more))
    return {"name": model.spec.name}


def program(request: dict[str, Any], emit: object) -> dict[str, Any]:
    """A MODEL that is a .pt2 file."""
    return _load("exported", request["path"], preprocess=PREPROCESS)


def weights(request: dict[str, Any], emit: object) -> dict[str, Any]:
    """`--weights` of a timm model."""
    small = {"depth": "1", "embed_dim": "16", "num_heads": "2"}
    size = {"num_classes": 3, "image_size": (32, 32), "model_args": small}
    return _load("timm", "vit_tiny_patch16_224", weights=Path(request["path"]), **size)


def keras(request: dict[str, Any], emit: object) -> dict[str, Any]:
    """A MODEL that is a .keras file."""
    return _load("keras", request["path"])


def folder(request: dict[str, Any], emit: object) -> dict[str, Any]:
    """A MODEL in Hugging Face's format."""
    return _load("hf", request["path"])


def images(request: dict[str, Any], emit: object) -> dict[str, Any]:
    """`--calibrate` and `--evaluate`."""
    from edgevit.core.plugins import Head
    from edgevit.core.types import Preprocess
    from edgevit.steps.samples import read_samples

    images = read_samples(request["path"], Head(), Preprocess(16, 16, (16, 16)), None, False, lambda n: None)
    return {"count": len(images.pixels)}


def plan(request: dict[str, Any], emit: object) -> dict[str, Any]:
    """`--plan`: read, and held against the model that it should be for."""
    from edgevit.program import graph_file as graphs
    from edgevit.quant import plan_file
    from edgevit.quant.check import check_sites, find_given

    stored = plan_file.load(Path(request["path"]))
    if not _GRAPH:
        _GRAPH.append(graphs.load(Path(request["graph"])))
    for capabilities in _backends():
        check_sites(find_given(stored, capabilities), _GRAPH[0], capabilities)
    return {}


_GRAPH: Final[list[Any]] = []


def _backends() -> tuple[Any, ...]:
    from edgevit.registries import TARGETS

    found = TARGETS.get("onnx").capabilities("w8a8")
    return () if found is None else (found,)


def manifest(request: dict[str, Any], emit: object) -> dict[str, Any]:
    """`edgevit verify`."""
    from edgevit.flows.verify import verify

    return dict(verify(Path(request["path"])).data)


def report(request: dict[str, Any], emit: object) -> dict[str, Any]:
    """A report.json read back."""
    from edgevit.report import json

    return {"files": len(json.read(Path(request["path"])).artifacts)}


def recipe(request: dict[str, Any], emit: object) -> dict[str, Any]:
    """`--recipe`."""
    from edgevit.core.settings.plain import as_json
    from edgevit.flows import make_recipe as recipes
    from edgevit.steps.resolve import resolve

    made = recipes.make({}, Path(request["path"]))
    resolve(made)
    return as_json(made)


def settings(request: dict[str, Any], emit: object) -> dict[str, Any]:
    """`--plan` alone: what the plan was made with."""
    from edgevit.core.settings.plain import as_json
    from edgevit.flows import make_recipe as recipes
    from edgevit.steps.resolve import resolve

    made = recipes.make({"plan": request["path"]})
    resolve(made)
    return as_json(made)


def labels(request: dict[str, Any], emit: object) -> dict[str, Any]:
    """`--labels`."""
    from edgevit.formats.labels import read_labels

    return {"labels": list(read_labels(Path(request["path"])))}
