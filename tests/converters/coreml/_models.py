"""Small models, their Core ML packages, each made once, and how the tests read and execute those."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from converters.coreml import TARGET
from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.plans import QuantPlan, SitePlan
from edgevit.core.quant_params import QuantParams
from edgevit.core.runner import RunOptions, SiteTensors
from edgevit.core.types import Graph, ModelSpec, Preprocess, TensorSpec, TorchModel
from edgevit.graph.export import export_model
from edgevit.program.sites import list_sites
from edgevit.registries import REWRITES
from edgevit.runtimes.coreml_reference import RUNTIME as REFERENCE

if TYPE_CHECKING:
    from edgevit.core.types import Pixels

SIZE, CLASSES = 32, 5
PREPROCESS = Preprocess(SIZE, SIZE, (36, 36))
_FOLDER = tempfile.TemporaryDirectory()


class Block(nn.Module):
    """A transformer block whose q, k and v are three layers that read one tensor."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.proj, self.fc1, self.fc2 = (
            nn.Linear(width, width),
            nn.Linear(width, 2 * width),
            nn.Linear(2 * width, width),
        )
        self.heads = heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = x.shape
        h = self.norm1(x)
        q, k, v = (
            f(h).reshape(batch, tokens, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v)
        )
        h = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, width)
        x = x + self.proj(h)
        return x + self.fc2(nn.functional.gelu(self.fc1(self.norm2(x))))


class Vit(nn.Module):
    def __init__(self, width: int = 40) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, 8, 8)
        self.blocks = nn.Sequential(Block(width, 2), Block(width, 2))
        self.norm, self.head = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.blocks(self.patch(x).flatten(2).transpose(1, 2)).mean(1)))


class Hybrid(nn.Module):
    """Convolutions with batch norm, one of them depthwise, and one transformer block."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.SiLU())
        self.deep = nn.Sequential(
            nn.Conv2d(width, width, 3, 2, 1, groups=width, bias=False), nn.BatchNorm2d(width)
        )
        self.block, self.head = Block(width, 2), nn.Linear(width, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.deep(self.stem(x))
        tokens = self.block(x.flatten(2).transpose(1, 2))
        x = torch.cat([x, tokens.transpose(1, 2).reshape(x.shape)], 1).mean((2, 3))
        return self.head(x[:, : x.shape[1] // 2] + x[:, x.shape[1] // 2 :])


def make(module: nn.Module, **changes: Any) -> tuple[Graph, ModelSpec]:
    """Export with every parameter and batch-norm statistic random."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            if tensor.is_floating_point():
                tensor.add_(
                    torch.rand(tensor.shape, generator=generator) * 0.3 + (0.0 if "var" in name else -0.15)
                )
    spec = ModelSpec(
        "tiny", "python:tiny", PREPROCESS, (TensorSpec("logits", (1, CLASSES), "float32"),),
        tuple("abcde"), "ab" * 32, 1, author="the author", license="Apache-2.0",
    )  # fmt: skip
    spec = replace(spec, **changes)
    rewrites = {name: REWRITES.get(name) for name in REWRITES.names()}
    return export_model(TorchModel(spec, module.eval()), rewrites), spec


def plan_for(graph: Graph, precision: str) -> QuantPlan:
    """Round to nearest, with one arbitrary grid for all activations."""
    sites, tensors = [], {}
    for site in list_sites(graph):
        if site.kind not in ("linear", "conv"):
            continue
        assert site.weight is not None
        weight = graph.program.state_dict[site.weight].detach().numpy()
        scale = (
            (np.abs(weight).reshape(len(weight), -1).max(1) * 1.001 / 127)
            .astype(np.float16)
            .astype(np.float32)
        )
        steps = np.round(weight / scale.reshape(-1, *[1] * (weight.ndim - 1)))
        tensors[f"{site.name}.weight"] = np.clip(steps, -127, 127).astype(np.int8)
        params = QuantParams("int8", tuple(map(float, scale)), (0,) * len(scale), 0)
        entry = QuantParams("int8", (float(np.float16(0.05)),), (-3,)) if precision == "w8a8" else None
        sites.append(SitePlan(site.name, site.kind, entry, params, None, "float32" if site.bias else "none"))
    capabilities = TARGET.capabilities(precision) or BackendCapabilities("coreml", precision, "float16", ())
    return QuantPlan("coreml", precision, "float16", "", tuple(sites), (), tensors, capabilities=capabilities)


def convert(
    graph: Graph, spec: ModelSpec, precision: str, out: Path, options: Mapping[str, str] | None = None
) -> tuple[SiteTensors, ...]:
    plan = plan_for(graph, precision) if precision.startswith("w8") else None
    return TARGET.write(TARGET.prepare(graph, spec, options or {}), precision, plan, out)


def read(path: Path) -> tuple[Any, Any]:
    """Specification and typed program of a saved package, through coremltools' public files."""
    from coremltools.converters.mil.frontend.milproto.load import load
    from coremltools.models.utils import load_spec

    specification = load_spec(str(path))
    weights = path / "Data" / "com.apple.CoreML" / "weights"
    return specification, load(specification, specification.specificationVersion, str(weights))


def operations(path: Path) -> list[Any]:
    return list(read(path)[1].functions["main"].operations)


def counts(path: Path) -> Counter[str]:
    return Counter(op.op_type for op in operations(path))


@dataclass(frozen=True)
class Converted:
    module: nn.Module
    graph: Graph
    spec: ModelSpec
    plan: QuantPlan
    path: Path
    sites: tuple[SiteTensors, ...]


@cache
def exported(kind: type[nn.Module]) -> tuple[nn.Module, Graph, ModelSpec]:
    torch.manual_seed(0)
    module = kind()
    return (module, *make(module))


@cache
def converted(kind: type[nn.Module], precision: str) -> Converted:
    """A model's package at one precision, made once for all tests."""
    module, graph, spec = exported(kind)
    out = Path(_FOLDER.name) / f"{kind.__name__}-{precision}.mlpackage"
    sites = convert(graph, spec, precision, out)
    return Converted(module, graph, spec, plan_for(graph, precision), out, sites)


def image_batch(count: int = 4) -> Pixels:
    """Smooth colours, so that the channels differ more than their neighbours in space do."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (count, SIZE // 8, SIZE // 8, 3)).astype(np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2)


def normalised(pixels: Pixels, spec: ModelSpec) -> torch.Tensor:
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    if spec.preprocess.color == "bgr":
        x = x.flip(1)
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in (spec.preprocess.mean, spec.preprocess.std))
    return (x - mean) / std


def execute(path: Path, pixels: Pixels) -> dict[str, Any]:
    with REFERENCE.open(path, RunOptions(threads=1)) as runner:
        return runner.run(pixels)
