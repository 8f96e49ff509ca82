"""Forms that HTP takes in the place of those that torch.onnx writes, executed by CPU kernels and by HTP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from converters.onnx import TARGET
from edgevit.core.plugins import Runtime
from edgevit.core.precisions import Precision
from edgevit.core.runner import RunOptions, SiteTensors
from edgevit.quant.simulate import simulate
from edgevit.runtimes.onnxruntime import RUNTIME
from edgevit.runtimes.qnn import RUNTIME as QNN_RUNTIME
from tests._sqnr import sqnr
from tests.converters import _small_models as models

QNN = {"backend": "qnn"}


class CosineAttention(nn.Module):
    """Swin v2's products of unit vectors, and SwiftFormer's unit length over tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.qkv, self.head = nn.Conv2d(3, 16, 8, 8), nn.Linear(16, 48), nn.Linear(16, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        tokens = self.patch(image).flatten(2).transpose(1, 2)
        count = tokens.shape[1]
        q, k, v = self.qkv(tokens).reshape(1, count, 3, 2, 8).permute(2, 0, 3, 1, 4).unbind(0)
        weights = nn.functional.normalize(q, dim=-1) @ nn.functional.normalize(k, dim=-1).transpose(-2, -1)
        mixed = ((4 * weights).softmax(-1) @ v).transpose(1, 2).reshape(1, count, 16)
        out: torch.Tensor = self.head(nn.functional.normalize(mixed, dim=1).sum(1))
        return out


class Quotient(nn.Module):
    """A quotient by a norm of something else, and one by a norm with a limit that counts."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.head = nn.Conv2d(3, 16, 8, 8), nn.Linear(32, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        value = self.patch(image).flatten(2).mean(-1)
        other = (2 * value) / (value + 1).norm(dim=-1, keepdim=True)
        limited = value / value.norm(dim=-1, keepdim=True).clamp_min(3.0)
        out: torch.Tensor = self.head(torch.cat([other, limited], -1))
        return out


def _write(model: nn.Module, path: Path) -> tuple[np.ndarray, Sequence[SiteTensors]]:
    """Writes the w8a16 file; what the plan gives on four images, and where its sites are."""
    graph, images = models.graph_of(model), models.normalised(models.pixels(12))
    plan = models.plan_of(graph, TARGET.capabilities(Precision.W8A16, QNN), images, behind=True)
    sites = TARGET.write(TARGET.prepare(graph, models.spec_of(10), QNN), plan.precision, plan, path)
    return simulate(graph, plan, images[:4])[0].numpy(), sites


def _answers(runtime: Runtime, path: Path) -> np.ndarray:
    with runtime.open(path, RunOptions(threads=1)) as runner:
        return runner.run(models.pixels(4))["logits"]


def _operators(path: Path) -> Sequence[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def test_a_quotient_by_its_own_norm_is_one_operator(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "model.onnx"
    planned, _ = _write(CosineAttention(), path)
    written = _operators(path)
    assert written.count("LpNormalization") == 3
    assert not {"ReduceL2", "Div", "Clip", "Expand"} & set(written)
    assert sqnr(planned, _answers(RUNTIME, path)) > 45
    if QNN_RUNTIME.unavailable() is None:
        assert sqnr(planned, _answers(QNN_RUNTIME, path)) > 45
        assert QNN_RUNTIME.integer_macs(path).in_float == ()


def test_other_quotients_stay_what_they_are(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "model.onnx"
    planned, _ = _write(Quotient(), path)
    written = _operators(path)
    assert written.count("Div") == 2 and "LpNormalization" not in written
    assert sqnr(planned, _answers(RUNTIME, path)) > 45


def test_what_is_transposed_was_converted_before(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "model.onnx"
    _, sites = _write(CosineAttention(), path)
    model = onnx.load(path)
    makers = {out: node for node in model.graph.node for out in node.output}
    types = {t.name: t.data_type for t in model.graph.initializer}
    seen = 0
    for node in model.graph.node:
        if node.op_type != "Transpose":
            continue
        (read,) = (makers[name] for name in node.input)
        leaving = [n for n in model.graph.node if node.output[0] in n.input]
        assert {types[n.input[2]] for n in leaving} == {types[read.input[2]]}
        # nobody converts what was transposed
        behind = [n for one in leaving for n in model.graph.node if one.output[0] in n.input]
        for one in behind:
            assert not any(
                n.op_type == "QuantizeLinear" for n in model.graph.node if one.output[0] in n.input
            ), node.name
        seen += types[read.input[2]] == onnx.TensorProto.INT16
    assert seen == 2  # K and V
    there = {*makers, *(value.name for value in model.graph.input)}
    assert all({site.input, site.output} <= there and site.rhs in {"", *there} for site in sites)


class Windows(nn.Module):
    """Rows of 16 channels in another order, and a factor with a column of ones, as EfficientViT has them."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.head = nn.Conv2d(3, 16, 4, 4), nn.Linear(64, 10)
        self.register_buffer("order", torch.arange(64).flip(0).reshape(8, 8))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        rows = self.patch(image).flatten(2).transpose(1, 2)[0]
        windows = nn.functional.embedding(self.order, rows)
        padded = nn.functional.pad(windows.transpose(-2, -1), (0, 1), value=1.0)
        products = windows @ padded
        out: torch.Tensor = self.head(products[:, :, 1:].mean(0)[None].reshape(1, 64))
        return out


def test_narrow_rows_and_padded_factors_are_right_on_htp(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "model.onnx"
    planned, _ = _write(Windows(), path)
    gathers = [node for node in onnx.load(path).graph.node if node.op_type == "Gather"]
    axes = [onnx.helper.get_node_attr_value(node, "axis") for node in gathers]
    assert axes == [0, 1]  # the image of the batch, and the rows
    assert sqnr(planned, _answers(RUNTIME, path)) > 45
    if QNN_RUNTIME.unavailable() is None:
        assert sqnr(planned, _answers(QNN_RUNTIME, path)) > 45


def test_a_hyperbolic_tangent_in_16_bits_has_the_grid_of_its_range(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "model.onnx"
    planned, _ = _write(
        nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.Tanh(), nn.Flatten(), nn.Linear(128, 10)), path
    )
    assert sqnr(planned, _answers(RUNTIME, path)) > 45
    if QNN_RUNTIME.unavailable() is None:
        assert sqnr(planned, _answers(QNN_RUNTIME, path)) > 45
