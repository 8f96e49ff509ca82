"""Two small models, the same with faults planted in them, and files made from either."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from edgevit.core.plugins import LoadRequest
from edgevit.core.results.layers import Difference
from edgevit.core.settings.recipe import Recipe
from edgevit.core.types import TorchModel
from edgevit.graph.adapt import adapt
from edgevit.graph.export import export_model
from edgevit.registries import REWRITES, SOURCES, TARGETS
from edgevit.steps.diff.compare import DiffRequest, diff

SIZE: Final = 32
SUFFIXES: Final = {"onnx": "onnx", "tflite": "tflite", "coreml": "mlpackage"}
RUNTIMES: Final = {"onnx": "onnxruntime", "tflite": "litert", "coreml": "coreml_reference"}

NETS: Final = '''
import timm
import torch
from torch import nn


def fill(module):
    """Seeded values in every tensor: what starts at 0 or 1 would hide a fault."""
    random = torch.Generator().manual_seed(5)
    for name, tensor in module.named_parameters():
        scale = 0.5 if tensor.dim() < 2 else 1.5 * tensor[0].numel() ** -0.5
        offset = 1.0 if name.endswith("weight") and tensor.dim() < 2 else 0.0
        tensor.data = torch.randn(tensor.shape, generator=random) * scale + offset
    return module.eval()


class Hybrid(nn.Module):
    """A convolution with a batch norm, a depthwise one, attention over the places, a convolution."""

    def __init__(self, num_classes=5):
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, 24, 4, 4, bias=False), nn.BatchNorm2d(24)
        self.deep = nn.Conv2d(24, 24, 3, 1, 1, groups=24)
        self.norm = nn.LayerNorm(24)
        self.query, self.key, self.value = nn.Linear(24, 24), nn.Linear(24, 24), nn.Linear(24, 24)
        self.project = nn.Linear(24, 24)
        self.mix, self.act = nn.Conv2d(24, 24, 1), nn.GELU()
        self.head = nn.Linear(24, num_classes)

    def forward(self, image):
        x = torch.nn.functional.silu(self.bn(self.stem(image)))
        x = x + self.deep(x)
        n, c, h, w = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        y = self.norm(tokens)
        q, k, v = (f(y).reshape(n, h * w, 2, c // 2).transpose(1, 2) for f in (self.query, self.key, self.value))
        y = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, h * w, c)
        tokens = tokens + self.project(y)
        x = self.act(self.mix(tokens.transpose(1, 2).reshape(n, c, h, w)))
        return self.head(x.mean((2, 3)))


def vit():
    return fill(timm.models.VisionTransformer(img_size=32, patch_size=8, embed_dim=48, depth=2, num_heads=3,
                                              num_classes=5))


def hybrid():
    return fill(Hybrid())


def transposed(module, name):
    weight = module.get_submodule(name).weight
    weight.data = weight.data.transpose(0, 1).contiguous()


def epsilon(module, name):
    module.get_submodule(name).eps = 0.1


def biasless(module, name):
    module.get_submodule(name).bias.data.zero_()


def swapped(module, name):
    attention = module.get_submodule(name)
    if hasattr(attention, "query"):
        attention.query, attention.key = attention.key, attention.query
        return
    for tensor in (attention.qkv.weight, attention.qkv.bias):
        q, k, v = tensor.data.chunk(3)
        tensor.data = torch.cat((k, q, v))


def faulty_vit(which=("transposed", "epsilon", "swapped", "biasless")):
    module = vit()
    places = {"transposed": "blocks.0.attn.proj", "epsilon": "blocks.0.norm2", "swapped": "blocks.1.attn",
              "biasless": "blocks.1.mlp.fc1"}
    for fault in which:
        globals()[fault](module, places[fault])
    return module


def faulty_hybrid(which=("biasless", "epsilon", "swapped", "transposed")):
    module = hybrid()
    places = {"transposed": "mix", "epsilon": "norm", "swapped": "", "biasless": "deep"}
    for fault in which:
        globals()[fault](module, places[fault])
    return module
'''


def write_nets(folder: Path) -> Path:
    path = folder / "nets.py"
    path.write_text(NETS)
    return path


def load(nets: Path, factory: str) -> TorchModel:
    text = f"{nets}:{factory}"
    request = LoadRequest(
        source=f"python:{text}",
        argument=text,
        image_size=(SIZE, SIZE),
        preprocess={"normalize": "imagenet"},
    )
    return SOURCES.get("python").load(request)


def modules(nets: Path) -> dict[str, Any]:
    made: dict[str, Any] = {}
    exec(nets.read_text(), made)
    return made


def convert(model: TorchModel, target: str, precision: str, folder: Path) -> Path:
    """One float file, as `edgevit convert` makes it, in this process."""
    plugin = TARGETS.get(target)
    rewrites = {name: REWRITES.get(name) for name in REWRITES.names()}
    graph = adapt(export_model(model, rewrites), rewrites, target, planned=False)
    path = folder / f"{target}-{precision}.{SUFFIXES[target]}"
    plugin.write(plugin.prepare(graph, model.spec, {}), precision, None, path)
    return path


def compare(
    path: Path,
    target: str,
    nets: Path,
    factory: str,
    size: int = SIZE,
    random_weights: int | None = None,
    fed: Mapping[str, str] | None = None,
) -> Difference:
    """`edgevit diff` against a factory of NETS, in this process."""
    model = f"python:{nets}:{factory}"
    recipe = Recipe(model=model, image_size=(size, size), random_weights=random_weights)
    request = DiffRequest(
        recipe=recipe,
        artifact=str(path),
        shown=path.name,
        target=target,
        runtime=RUNTIMES[target],
        images="synthetic:2",
        count=2,
        threshold=None,
        file_preprocess=fed or {},
    )
    return diff(request, lambda event: None)
