from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from edgevit.core.types import ModelSpec
from tests._sqnr import sqnr
from tests.converters.coreml._models import (
    CLASSES,
    SIZE,
    Vit,
    convert,
    counts,
    execute,
    exported,
    image_batch,
    make,
    normalised,
)

IOS18 = {"deployment": "iOS18"}


class _Masked(nn.Module):
    """One attention with a constant bias per head and a factor of its own, of 4 tokens."""

    def __init__(self, heads: int = 2, width: int = 12) -> None:
        super().__init__()
        self.patch, self.qkv = nn.Conv2d(3, width, SIZE // 2, SIZE // 2), nn.Linear(width, 3 * width)
        self.head, self.heads = nn.Linear(width, CLASSES), heads
        self.bias = nn.Parameter(torch.randn(heads, 4, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(x).reshape(1, 4, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        x = nn.functional.scaled_dot_product_attention(q, k, v, self.bias[None], scale=0.3)
        result: torch.Tensor = self.head(x.transpose(1, 2).reshape(1, 4, -1).mean(1))
        return result


class _TalkingHeads(nn.Module):
    """The heads are mixed between the product and the softmax, so that nothing can be joined."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.mix, self.head = nn.Conv2d(3, 8, 16, 16), nn.Linear(2, 2), nn.Linear(8, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        t = self.patch(x).flatten(2).transpose(1, 2).reshape(1, 4, 2, 4).transpose(1, 2)
        weights = self.mix((t @ t.transpose(-1, -2)).permute(0, 2, 3, 1)).permute(0, 3, 1, 2).softmax(-1)
        result: torch.Tensor = self.head((weights @ t).transpose(1, 2).reshape(1, 4, 8).mean(1))
        return result


def _agreement(module: nn.Module, path: Path, spec: ModelSpec) -> float:
    pixels = image_batch(2)
    with torch.inference_mode():
        wanted = torch.cat([module(image[None]) for image in normalised(pixels, spec)])
    return sqnr(wanted.numpy(), execute(path, pixels)["logits"])


@pytest.mark.parametrize(("precision", "least"), [("fp32", 80.0), ("fp16", 40.0)])
def test_ios18_attention_is_one_operation_that_computes_the_same(
    tmp_path: Path, precision: str, least: float
) -> None:
    module, graph, spec = exported(Vit)
    path = tmp_path / "m.mlpackage"
    convert(graph, spec, precision, path, IOS18)
    found = counts(path)
    assert found["scaled_dot_product_attention"] == 2 and found["matmul"] == 0
    assert found["softmax"] == 1, "the class probabilities"
    assert _agreement(module, path, spec) >= least


def test_a_bias_becomes_the_mask_and_another_scale_is_kept(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = _Masked()
    graph, spec = make(module)
    path = tmp_path / "m.mlpackage"
    convert(graph, spec, "fp32", path, IOS18)
    assert counts(path)["scaled_dot_product_attention"] == 1
    assert _agreement(module, path, spec) >= 80.0


def test_mixed_heads_stay_two_products(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = _TalkingHeads()
    graph, spec = make(module)
    path = tmp_path / "m.mlpackage"
    convert(graph, spec, "fp32", path, IOS18)
    assert counts(path)["scaled_dot_product_attention"] == 0
    assert _agreement(module, path, spec) >= 80.0


@pytest.mark.parametrize(("precision", "options"), [("fp32", {}), ("w8a8", IOS18)])
def test_older_systems_and_integers_get_the_two_products(
    tmp_path: Path, precision: str, options: dict[str, str]
) -> None:
    _, graph, spec = exported(Vit)
    convert(graph, spec, precision, tmp_path / "m.mlpackage", options)
    found = counts(tmp_path / "m.mlpackage")
    assert found["scaled_dot_product_attention"] == 0 and found["matmul"] == 4
