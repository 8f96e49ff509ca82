"""Group norm in ONNX, as an operator that ONNX Runtime has a kernel for."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from converters.onnx import TARGET
from edgevit.core.runner import RunOptions
from edgevit.core.types import Graph
from edgevit.graph.adapt import adapt
from edgevit.graph.float16.range_analysis import scan
from edgevit.registries import REWRITES
from edgevit.runtimes.onnxruntime import RUNTIME
from tests._sqnr import sqnr
from tests.converters import _small_models as models


class Groups(nn.Module):
    """Group norms with one group and with several; what the first reads is `size` times as large as usual."""

    def __init__(self, size: float = 1.0) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 12, 4, 4), nn.GroupNorm(1, 12)
        self.next, self.three = nn.Conv2d(12, 12, 1), nn.GroupNorm(3, 12, eps=1e-4)
        self.head, self.size = nn.Linear(12, 10), size

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        value = self.three(self.next(self.norm(self.stem(image) * self.size)))
        return self.head(value.mean((2, 3)))


def _executed(file: Path) -> torch.Tensor:
    with RUNTIME.open(file, RunOptions(threads=1)) as runner:
        return torch.from_numpy(runner.run(models.pixels(3))["logits"])


def _adapted(module: nn.Module) -> tuple[Graph, torch.Tensor]:
    """The Graph as the writer gets it, and what PyTorch makes of three images."""
    graph = models.graph_of(module)
    wanted = module(models.normalised(models.pixels(3)))
    return adapt(graph, {n: REWRITES.get(n) for n in REWRITES.names()}, "onnx", planned=False), wanted


@pytest.mark.parametrize("opset", ["18", "23"])
def test_group_norm_has_a_kernel_in_every_operator_set(opset: str, tmp_path: Path) -> None:
    graph, wanted = _adapted(Groups())
    prepared = TARGET.prepare(graph, models.spec_of(10), {"opset": opset})
    TARGET.write(prepared, "fp32", None, tmp_path / "m.onnx")
    kinds = [node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node]
    assert kinds.count("InstanceNormalization") == 2
    assert not {"GroupNormalization", "Shape", "Expand", "ConstantOfShape"} & set(kinds)
    assert sqnr(wanted.detach().numpy(), _executed(tmp_path / "m.onnx").numpy()) > 110


def test_a_variance_that_float16_cannot_hold_is_computed_in_float32(tmp_path: Path) -> None:
    graph, wanted = _adapted(Groups(size=1e3))
    kept = frozenset(kept.site for kept in scan(graph, models.normalised(models.pixels(3))))
    assert "norm:instance_norm" in kept and "three:instance_norm" not in kept
    prepared = TARGET.prepare(graph, models.spec_of(10), {})
    TARGET.write(prepared, "fp16", None, tmp_path / "m.onnx", kept)
    assert sqnr(wanted.detach().numpy(), _executed(tmp_path / "m.onnx").numpy()) > 50
    nodes = onnx.load(tmp_path / "m.onnx").graph.node
    norm = next(node for node in nodes if node.name.startswith("norm:instance_norm"))
    assert [node.op_type for node in nodes if norm.input[0] in node.output] == ["Cast"]
