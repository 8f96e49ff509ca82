"""Operators in the vendors' own conversions and in ours.

python -m bench.operator_counts [MODEL ...] [--to LIST] [--opset N]

Both are made from one model with the same seeded weights. Prints one line for each model and target:
the vendor's operators, ours, their ratio, and the highest rank in each. Constants are not counted.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgevit.core.modeltext import parse_source
from edgevit.core.plugins import LoadRequest
from edgevit.core.types import Contents, TorchModel
from edgevit.graph import storage
from edgevit.graph.adapt import adapt
from edgevit.graph.export import export_model
from edgevit.registries import REWRITES, RUNTIMES, SOURCES, TARGETS

MODELS = ("timm:vit_tiny_patch16_224", "timm:mobilevit_xxs", "timm:swin_tiny_patch4_window7_224")


def tflite(model: TorchModel, path: Path, _options: Mapping[str, str]) -> None:
    """litert-torch on the module as it is, NCHW."""
    import litert_torch

    litert_torch.convert(model.module, (_image(model),)).export(str(path))


def onnx(model: TorchModel, path: Path, options: Mapping[str, str]) -> None:
    """torch.onnx with its own optimisation, at the same operator set."""
    import torch

    program = torch.onnx.export(
        model.module, (_image(model),), dynamo=True, opset_version=int(options["opset"]), verbose=False
    )
    assert program is not None
    program.save(str(path))


VENDORS: dict[str, Callable[[TorchModel, Path, Mapping[str, str]], None]] = {"tflite": tflite, "onnx": onnx}
READERS = {"tflite": "litert", "onnx": "onnxruntime", "coreml": "coreml_reference"}


def ours(model: TorchModel, target: str, path: Path, options: Mapping[str, str]) -> None:
    """What `edgevit convert --precision fp32` writes."""
    rewrites = {name: REWRITES.get(name) for name in REWRITES.names()}
    exported = path.parent / "graph.pt2"
    if not exported.exists():
        storage.save(export_model(model, rewrites), exported)
    graph = adapt(storage.load(exported), rewrites, target, planned=False)
    plugin = TARGETS.get(target)
    plugin.write(plugin.prepare(graph, model.spec, options), "fp32", None, path)


def operators(contents: Contents) -> int:
    """All but constants."""
    return sum(count for kind, count in contents.operators if kind not in ("const", "Constant"))


def _image(model: TorchModel) -> Any:
    import torch

    size = model.spec.preprocess
    return torch.zeros(1, 3, size.height, size.width)


def main() -> None:
    """Convert, count, print."""
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--to", default=",".join(VENDORS))
    parser.add_argument(
        "--opset", default="23", help="of both ONNX files; attention is one operator from 23 on"
    )
    asked = parser.parse_args()
    for text in asked.models:
        source, argument = parse_source(text)
        model = SOURCES.get(source).load(LoadRequest(source=text, argument=argument, random_weights=1))
        with tempfile.TemporaryDirectory() as name:
            for target in asked.to.split(","):
                suffix = TARGETS.get(target).suffix
                paths = Path(name) / f"vendor.{suffix}", Path(name) / f"ours.{suffix}"
                options = {"opset": asked.opset} if target == "onnx" else {}
                VENDORS[target](model, paths[0], options)
                ours(model, target, paths[1], options)
                read = RUNTIMES.get(READERS[target]).contents
                vendor, own = (read(path) for path in paths)
                counts = operators(vendor), operators(own)
                print(
                    f"{text} {target}: vendor {counts[0]} operators of rank {vendor.max_rank}, "
                    f"ours {counts[1]} of rank {own.max_rank}, ratio {counts[1] / counts[0]:.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
