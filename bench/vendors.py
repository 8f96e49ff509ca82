"""The same model converted by the vendor's own converter and by edgevit, fp32, for the comparisons here."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core.plugins import LoadRequest
from edgevit.core.settings.model_text import parse_source
from edgevit.core.types import TorchModel
from edgevit.registries import REWRITES, SOURCES, TARGETS

if TYPE_CHECKING:
    import torch

MODELS = ("timm:vit_tiny_patch16_224", "timm:mobilevit_xxs", "timm:swin_tiny_patch4_window7_224")


@dataclass(frozen=True, slots=True)
class Form:
    """One of our files and the vendor's that it is held against."""

    name: str
    target: str
    options: Mapping[str, str] = field(default_factory=dict)


FORMS = (
    Form("tflite", "tflite"),
    Form("onnx fused", "onnx"),
    Form("onnx split", "onnx", {"attention": "split"}),
)


def path_of(cache: Path, text: str, name: str, target: str) -> Path:
    """Where a file is kept; `name` is that of a form of ours, or `vendor`."""
    return cache / text.replace(":", "-") / f"{name.replace(' ', '-')}.{TARGETS.get(target).suffix}"


def make_missing(text: str, cache: Path) -> None:
    """Convert one model to all files that `cache` does not hold."""
    model = None
    wanted = [(form.name, form.target) for form in FORMS]
    wanted += [("vendor", target) for target in dict.fromkeys(form.target for form in FORMS)]
    for name, target in wanted:
        path = path_of(cache, text, name, target)
        if path.exists():
            continue
        model = model or load(text)
        print(f"converting {text}: {target}, {name}", file=sys.stderr, flush=True)
        if name == "vendor":
            vendor(model, target, path)
        else:
            ours(model, next(form for form in FORMS if form.name == name), path)


def load(text: str) -> TorchModel:
    """The model with seeded random weights."""
    source, argument = parse_source(text)
    return SOURCES.get(source).load(LoadRequest(source=text, argument=argument, random_weights=1))


def image(model: TorchModel) -> torch.Tensor:
    """Seeded noise, float32 (1, 3, height, width): zeros would hide faults."""
    import torch

    size = model.spec.preprocess
    return torch.randn(1, 3, size.height, size.width, generator=torch.Generator().manual_seed(0))


def vendor(model: TorchModel, target: str, path: Path) -> None:
    """What the vendor's converter writes on its own, with its defaults."""
    warnings.filterwarnings("ignore")
    path.parent.mkdir(parents=True, exist_ok=True)
    _VENDORS[target](model, path)


def ours(model: TorchModel, form: Form, path: Path) -> None:
    """What `edgevit convert --precision fp32` writes."""
    from edgevit.graph.adapt import adapt
    from edgevit.graph.export import export_model
    from edgevit.program import graph_file

    path.parent.mkdir(parents=True, exist_ok=True)
    rewrites = {name: REWRITES.get(name) for name in REWRITES.names()}
    exported = path.parent / "graph.pt2"
    graph_file.save(export_model(model, rewrites), exported)
    graph = adapt(graph_file.load(exported), rewrites, form.target, planned=False)
    plugin = TARGETS.get(form.target)
    plugin.write(plugin.prepare(graph, model.spec, form.options), "fp32", None, path)
    exported.unlink()


def _tflite(model: TorchModel, path: Path) -> None:
    """litert-torch on the module as it is, NCHW."""
    import litert_torch

    litert_torch.convert(model.module, (image(model),)).export(str(path))


def _onnx(model: TorchModel, path: Path) -> None:
    """torch.onnx with its own optimisation."""
    import torch

    program = torch.onnx.export(model.module, (image(model),), dynamo=True, verbose=False)
    assert program is not None
    program.save(str(path))


_VENDORS: dict[str, Callable[[TorchModel, Path], None]] = {"tflite": _tflite, "onnx": _onnx}
