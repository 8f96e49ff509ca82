"""Attention as one ONNX operator: where it applies, its values, and what stays in separate products."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from converters.onnx import TARGET
from edgevit.core.errors import UsageError
from edgevit.core.runner import RunOptions
from edgevit.core.types import Graph
from edgevit.graph.adapt import adapt
from edgevit.registries import REWRITES
from edgevit.runtimes.onnxruntime import RUNTIME
from tests._sqnr import sqnr
from tests.converters import _small_models as models


class Attentions(nn.Module):
    """Two attentions over 16 tokens: one with a bias per head, one whose keys and values are fewer tokens."""

    def __init__(self, masked: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("mask", torch.cat([torch.zeros(8), torch.full((8,), masked)]))
        self.patch, self.head = nn.Conv2d(3, 32, 8, 8), nn.Linear(32, 10)
        self.qkv, self.q, self.kv = nn.Linear(32, 96), nn.Linear(32, 32), nn.Linear(32, 64)
        self.bias, self.proj = nn.Parameter(torch.zeros(1, 4, 16, 16)), nn.Linear(32, 32)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.patch(image).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(x).reshape(1, 16, 3, 4, 8).permute(2, 0, 3, 1, 4).unbind(0)
        x = x + self.proj(
            self._joined(nn.functional.scaled_dot_product_attention(q, k, v, self.bias + self.mask))
        )
        q = self.q(x).reshape(1, 16, 4, 8).transpose(1, 2)
        k, v = self.kv(x[:, ::2]).reshape(1, 8, 2, 4, 8).permute(2, 0, 3, 1, 4).unbind(0)
        x = x + self._joined(((q @ k.transpose(-2, -1)) * 0.3).softmax(-1) @ v)
        out: torch.Tensor = self.head(x.mean(1))
        return out

    @staticmethod
    def _joined(heads: torch.Tensor) -> torch.Tensor:
        return heads.transpose(1, 2).reshape(1, 16, 32)


def _written(tmp_path: Path, precision: str = "fp32", **options: str) -> tuple[nn.Module, Path]:
    module = Attentions()
    graph = _graph(module)
    path = tmp_path / "model.onnx"
    TARGET.write(TARGET.prepare(graph, models.spec_of(10), options), precision, None, path)
    return module, path


def _graph(module: nn.Module) -> Graph:
    rewrites = {name: REWRITES.get(name) for name in REWRITES.names()}
    return adapt(models.graph_of(module), rewrites, "onnx", planned=False)


def _db(module: nn.Module, path: Path) -> float:
    with torch.no_grad():
        wanted = torch.cat([module(image[None]) for image in models.normalised(models.pixels(4))])
    with RUNTIME.open(path, RunOptions(1)) as runner:
        return sqnr(wanted, runner.run(models.pixels(4))["logits"])


@pytest.mark.parametrize(("precision", "least"), [("fp32", 100.0), ("fp16", 40.0)])
def test_attention_with_and_without_bias_becomes_one_operator(
    precision: str, least: float, tmp_path: Path
) -> None:
    module, path = _written(tmp_path, precision)
    operators = Counter(node.op_type for node in onnx.load(path).graph.node)
    assert operators["Attention"] == 2 and not operators["Softmax"] and operators["Split"] == 2
    assert _db(module, path) > least


def test_attention_stays_in_products_where_the_operator_set_or_the_user_says_so(tmp_path: Path) -> None:
    for options in ({"opset": "20"}, {"attention": "split"}):
        module, path = _written(tmp_path, **options)
        operators = Counter(node.op_type for node in onnx.load(path).graph.node)
        assert operators["Softmax"] == 2 and not operators["Attention"]
        assert _db(module, path) > 100


@pytest.mark.parametrize("options", [{"opset": "20", "attention": "fused"}, {"attention": "flash"}])
def test_a_form_of_attention_that_cannot_be_is_refused(options: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="attention"):
        TARGET.prepare(models.graph_of(Attentions()), models.spec_of(10), options)


def test_a_fused_attention_names_the_sites_inside_it_and_stays_float32_for_any_of_them(
    tmp_path: Path,
) -> None:
    prepared = TARGET.prepare(_graph(Attentions()), models.spec_of(10), {})
    TARGET.write(prepared, "fp16", None, tmp_path / "model.onnx", frozenset({":softmax"}))
    nodes = [node for node in onnx.load(tmp_path / "model.onnx").graph.node if node.op_type == "Attention"]
    inside = [{p.key: p.value for p in node.metadata_props}["edgevit.sites"].split("\n") for node in nodes]
    assert [":softmax" in sites for sites in inside] == [True, False]
    inferred = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "model.onnx"))
    types = {v.name: v.type.tensor_type.elem_type for v in inferred.graph.value_info}
    wide, narrow = (types[node.output[0]] for node in nodes)
    assert (wide, narrow) == (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)


@pytest.mark.parametrize(("masked", "fused"), [(-100.0, 1), (-1000.0, 2)])
def test_a_mask_whose_exponentials_are_denormals_leaves_attention_in_products(
    masked: float, fused: int, tmp_path: Path
) -> None:
    module = Attentions(masked)
    prepared = TARGET.prepare(_graph(module), models.spec_of(10), {})
    TARGET.write(prepared, "fp32", None, tmp_path / "model.onnx")
    operators = Counter(node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node)
    assert operators["Attention"] == fused and operators["Softmax"] == 2 - fused
    assert _db(module, tmp_path / "model.onnx") > 100
