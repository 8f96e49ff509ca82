"""Small models, their graphs and min-max plans for the tests of the targets."""

from __future__ import annotations

import numpy as np
import timm
import torch
from numpy.typing import NDArray

from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.plans import QuantPlan
from edgevit.core.types import Graph, ModelSpec, Preprocess, Stats, TensorSpec, TorchModel
from edgevit.graph.export import export_model
from edgevit.models._random import randomise
from edgevit.program.run import run
from edgevit.program.sites import site_of
from edgevit.quant.algorithms import kmeans, minmax, nearest
from edgevit.quant.plan import Choices, make_plan
from edgevit.registries import REWRITES

SIZE = 32
PREPROCESS = Preprocess(SIZE, SIZE, (SIZE, SIZE), mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


def spec_of(classes: int) -> ModelSpec:
    return ModelSpec(
        name="small",
        source="test",
        preprocess=PREPROCESS,
        outputs=(TensorSpec("logits", (1, classes), "float32"),),
        labels=tuple(f"class {index}" for index in range(classes)),
        weights_sha256="0" * 64,
        parameters=1,
        author="A. Author",
        license="MIT",
    )


def tiny_vit(channels: int = 3) -> torch.nn.Module:
    """A ViT of one block and 16 patches."""
    made: torch.nn.Module = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=SIZE,
        patch_size=8,
        depth=1,
        embed_dim=32,
        num_heads=2,
        num_classes=10,
        in_chans=channels,
    )
    return made


def graph_of(module: torch.nn.Module, classes: int = 10) -> Graph:
    """Seeded random weights in `module`, then its Graph."""
    randomise(module, 1, (SIZE, SIZE))
    rewrites = {name: REWRITES.get(name) for name in REWRITES.names()}
    return export_model(TorchModel(spec_of(classes), module.eval()), rewrites)


def pixels(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


def normalised(images: NDArray[np.uint8], preprocess: Preprocess = PREPROCESS) -> torch.Tensor:
    """What PyTorch's pipeline makes of uint8 (N, height, width, 3): float32 NCHW."""
    real = torch.from_numpy(images).float() / 255
    return ((real - torch.tensor(preprocess.mean)) / torch.tensor(preprocess.std)).permute(0, 3, 1, 2)


def plan_of(
    graph: Graph, capabilities: BackendCapabilities | None, images: torch.Tensor, behind: bool = False
) -> QuantPlan:
    """Min-max ranges over `images`, weights rounded to nearest.

    Args:
        behind: weights are decided on what enters them behind the layers before, as whole-graph plans are.
    """
    assert capabilities is not None
    _, seen = run(graph, images, observe=_ends)
    values = {(k, "minmax"): np.array([v[:, 0].min(), v[:, 1].max()]) for k, v in seen.items()}
    choices = Choices(minmax.ALGORITHM, nearest.ALGORITHM, kmeans.ALGORITHM)
    return make_plan(graph, Stats(values, len(images)), images if behind else None, capabilities, choices)


def _ends(node: torch.fx.Node, value: torch.Tensor) -> dict[str, torch.Tensor]:
    if not isinstance(value, torch.Tensor) or not value.is_floating_point():
        return {}
    return {node.name if node.op == "placeholder" else site_of(node): torch.stack([value.min(), value.max()])}
