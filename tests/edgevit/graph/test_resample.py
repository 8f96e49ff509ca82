"""Resizing as products with constants against torch.nn.functional.interpolate, over modes, sizes and scales."""

from __future__ import annotations

import copy
from collections import Counter
from functools import cache
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from edgevit.core.types import Graph
from edgevit.graph.adapt import adapt
from edgevit.graph.export import export_model
from edgevit.program.run import run
from edgevit.registries import REWRITES
from tests.edgevit.graph import _small as small

SIZES = ((16, 24), (33, 7), (8, 6))
SCALES = (2.0, (1.3, 0.45))
ALIGNED = ("bilinear", "bicubic")

# What `interpolate` is given: (mode, aligned corners, antialiased), then a size or a scale.
GIVEN: tuple[dict[str, Any], ...] = tuple(
    {**where, "mode": mode, **({"align_corners": corners} if mode in ALIGNED else {}), "antialias": antialias}
    for mode, corners, antialias in [
        *[("nearest", False, False), ("nearest-exact", False, False), ("area", False, False)],
        *[
            (mode, corners, smooth)
            for mode in ALIGNED
            for corners in (False, True)
            for smooth in (False, True)
        ],
    ]
    for where in [*({"size": size} for size in SIZES), *({"scale_factor": scale} for scale in SCALES)]
)

# Of 2 channels of 4x4x12.
VOLUMES: tuple[dict[str, Any], ...] = (
    {"size": (7, 5, 24), "mode": "trilinear"},
    {"size": (4, 9, 5), "mode": "trilinear", "align_corners": True},
    {"scale_factor": (2.0, 1.3, 0.45), "mode": "trilinear"},
    {"size": (8, 3, 5), "mode": "nearest"},
    {"size": (3, 2, 12), "mode": "area"},
)

# What a runtime does as PyTorch does, and nothing else, is left to it: bilinear by sizes, aligned or not; nearest
# by sizes, in TFLite repeated pixels alone; even averages; in ONNX nearest and bilinear of any scale. Antialiased
# bilinear that enlarges, and pixels repeated under another name, become those.
LEFT = {
    "onnx": {
        "upsample_nearest2d": 9,
        "upsample_bilinear2d": 12,
        "upsample_nearest1d": 1,
        "upsample_linear1d": 1,
        "adaptive_avg_pool2d": 1,
        "upsample_trilinear3d": 3,
        "upsample_nearest3d": 1,
    },
    "tflite": {"upsample_nearest2d": 6, "upsample_bilinear2d": 11, "adaptive_avg_pool2d": 1},
    "coreml": {"upsample_nearest2d": 8, "upsample_bilinear2d": 11, "adaptive_avg_pool2d": 1},
}


class Resizes(nn.Module):
    """Every resize of GIVEN on 2 channels of 16x12, two of rows, and those of VOLUMES."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, (1, 5))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.conv(image)
        found = [functional.interpolate(x, **given) for given in GIVEN]
        rows = x.flatten(2)
        found += [functional.interpolate(rows, 100, mode="linear"), functional.interpolate(rows, 77)]
        volume = x.reshape(1, 2, 4, 4, 12)
        found += [functional.interpolate(volume, **given) for given in VOLUMES]
        return torch.cat([value.reshape(1, -1) for value in found], 1)


@cache
def _exported() -> tuple[nn.Module, Graph, list[int]]:
    module = small.randomised(Resizes())
    blank = torch.zeros(1, 2, 16, 12)
    with torch.no_grad():
        lengths = [functional.interpolate(blank, **given).numel() for given in GIVEN]
        deep = torch.zeros(1, 2, 4, 4, 12)
        volumes = [functional.interpolate(deep, **given).numel() for given in VOLUMES]
    return module, export_model(small.model_of(module), {}), [*lengths, 200, 154, *volumes]


@pytest.mark.parametrize(
    ("target", "rewrite"),
    [
        ("onnx", "resize_as_products_onnx"),
        ("tflite", "resize_as_products"),
        ("coreml", "resize_as_products_coreml"),
    ],
)
def test_every_resize_gives_what_interpolate_gives(target: str, rewrite: str) -> None:
    module, graph, lengths = _exported()
    after = adapt(copy.deepcopy(graph), {rewrite: REWRITES.get(rewrite)}, target, planned=False)
    assert after.rewrites == (rewrite,)
    with torch.no_grad():
        wanted = torch.cat([module(image[None]) for image in small.images(2)])
    found = run(after, small.images(2))[0][0]
    for given, one, other in zip(
        [*GIVEN, "linear", "nearest", *VOLUMES],
        wanted.split(lengths, 1),
        found.split(lengths, 1),
        strict=True,
    ):
        assert small.db(one, other) > 110, (given, small.db(one, other))
    left = Counter(
        str(node.target).split(".")[1]
        for node in after.program.graph.nodes
        if node.op == "call_function" and ("upsample" in str(node.target) or "pool" in str(node.target))
    )
    assert left == LEFT[target]


def test_a_resize_of_another_name_that_does_the_same_becomes_the_plain_one() -> None:
    class Net(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            double = functional.interpolate(image, scale_factor=2.0, mode="nearest-exact")
            return functional.interpolate(double, (48, 64), mode="bilinear", antialias=True)

    for target, rewrite in (("tflite", "resize_as_products"), ("coreml", "resize_as_products_coreml")):
        graph = export_model(small.model_of(Net()), {})
        adapted = adapt(graph, {rewrite: REWRITES.get(rewrite)}, target, planned=False)
        called = [str(n.target) for n in adapted.program.graph.nodes if n.op == "call_function"]
        assert called == ["aten.upsample_nearest2d.vec", "aten.upsample_bilinear2d.vec"], called
        image = small.images(1)
        with torch.no_grad():
            assert small.db(Net()(image), run(adapted, image)[0][0]) > 120
