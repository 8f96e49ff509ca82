"""Grids of all activations, against arithmetic written out here and against what the file computes in ONNX Runtime."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from converters.onnx import TARGET
from edgevit.core.errors import InputError, UsageError
from edgevit.core.plans import QuantPlan
from edgevit.core.precisions import Precision
from edgevit.core.quant_params import QuantParams
from edgevit.core.results.report import SITE_DB
from edgevit.core.runner import RunOptions
from edgevit.core.types import Graph, Stats
from edgevit.core.widths import computed_grid, symmetric, widened
from edgevit.program import graph_file
from edgevit.program.run import run
from edgevit.program.sites import total_macs
from edgevit.quant import _affine, whole_graph
from edgevit.quant.algorithms import npu_operators
from edgevit.quant.check import check_sites
from edgevit.quant.simulate import SiteSimulator, simulate
from edgevit.quant.widen import widen
from edgevit.runtimes.onnxruntime import RUNTIME
from edgevit.runtimes.qnn import RUNTIME as QNN_RUNTIME
from edgevit.steps.compare_sites import compare_sites
from edgevit.steps.messages import Built
from tests._sqnr import sqnr
from tests.converters import _small_models as models

QNN = {"backend": "qnn"}


class Hybrid(nn.Module):
    """What hybrids are made of: SiLU, numbers of the program, a class token, attention, GELU, layer norms."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.act = nn.Conv2d(3, 8, 3, 2, 1), nn.SiLU()
        self.depthwise, self.patch = nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.Conv2d(8, 16, 8, 8)
        self.token, self.position = nn.Parameter(torch.randn(1, 1, 16)), nn.Parameter(torch.randn(1, 5, 16))
        self.norm1, self.norm2, self.qkv = nn.LayerNorm(16), nn.LayerNorm(16), nn.Linear(16, 48)
        self.project, self.up, self.down = nn.Linear(16, 16), nn.Linear(16, 32), nn.Linear(32, 16)
        self.head = nn.Linear(16, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        value = self.act(self.stem(image))
        value = torch.relu(value + self.act(self.depthwise(value))) * 0.7 - 0.2
        tokens = torch.cat([self.token, self.patch(value).flatten(2).transpose(1, 2)], 1) + self.position
        q, k, v = self.qkv(self.norm1(tokens)).reshape(1, 5, 3, 2, 8).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(1, 5, 16)
        tokens = tokens + self.project(mixed)
        tokens = tokens + self.down(nn.functional.gelu(self.up(self.norm2(tokens))))
        out: torch.Tensor = self.head(tokens[:, 0])
        return out


def images(count: int = 12) -> torch.Tensor:
    return models.normalised(models.pixels(count))


@cache
def graph() -> Graph:
    """With the operators of an NPU; for tests that only read."""
    made = models.graph_of(Hybrid())
    assert (
        len(npu_operators.ALGORITHM.apply(made, Stats({}, 0))) == 4
    )  # a sigmoid and a product for each SiLU
    return made


@cache
def plan_of(precision: str) -> QuantPlan:
    return models.plan_of(graph(), TARGET.capabilities(Precision(precision), QNN), images(), behind=True)


def written(plan: QuantPlan, path: Path) -> Path:
    TARGET.write(TARGET.prepare(graph(), models.spec_of(10), QNN), plan.precision, plan, path)
    return path


def answers(path: Path) -> np.ndarray:
    with RUNTIME.open(path, RunOptions(threads=1)) as runner:
        return runner.run(models.pixels(12))["logits"]


def test_every_value_of_an_8_bit_grid_lies_on_the_widened_one() -> None:
    params = QuantParams("uint8", (0.0371,), (93,))
    values = _affine.dequantize(torch.arange(256.0), params)
    wide = widened(params, "uint16")
    assert wide.zero_point == (93 * 257,) and wide.scale == pytest.approx((0.0371 / 257,))
    assert torch.equal(_affine.quantize(values, wide), torch.arange(256.0) * 257)
    assert symmetric(params) == QuantParams("int16", (pytest.approx((255 - 93) * 0.0371 / 32767),), (0,))


def test_what_a_concat_joins_has_one_grid_that_covers_its_constants_too() -> None:
    plan = {site.site: site for site in plan_of("w8a16").sites}
    found = whole_graph.find(graph())
    joined = next(name for name in found.group if name.endswith(":cat"))
    patches = next(name for name in plan if name.startswith("patch:"))
    assert plan[patches].output == plan[joined].output == plan[joined].constants[0]
    params, token = plan[joined].output, dict(graph().program.state_dict)["token"].detach()
    assert params is not None
    low, high = ((limit - params.zero_point[0]) * params.scale[0] for limit in (0, 65535))
    assert low <= float(token.min()) and float(token.max()) <= high


@pytest.mark.parametrize(("precision", "to_file", "to_float"), [("w8a8", 25.0, 12.0), ("w8a16", 55.0, 30.0)])
def test_the_file_computes_what_the_plan_simulates(
    precision: str, to_file: float, to_float: float, tmp_path: Path
) -> None:
    plan = plan_of(precision)
    simulated = simulate(graph(), plan, images())[0].numpy()
    executed = answers(written(plan, tmp_path / "model.onnx"))
    assert sqnr(simulated, executed) > to_file
    assert sqnr(run(graph(), images())[0][0].numpy(), executed) > to_float


@pytest.mark.parametrize("precision", ["w8a8", "w8a16"])
def test_every_operator_stands_between_integers_of_one_width(precision: str, tmp_path: Path) -> None:
    model = onnx.load(written(plan_of(precision), tmp_path / "model.onnx"))
    types = {t.name: t.data_type for t in model.graph.initializer}
    kinds = onnx.TensorProto.DataType
    maker = {out: node for node in model.graph.node for out in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    seen = 0
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            continue
        entering = [maker[n] for n in node.input if n in maker]
        assert {n.op_type for n in entering} == {"DequantizeLinear"}, node.name
        leaving = [reader for out in node.output for reader in readers[out]]
        assert {n.op_type for n in leaving} == {"QuantizeLinear"}, node.name
        # weights are int8 and biases int32 in either width, and the right side of a product is int16
        widths = {kinds.Name(types[n.input[2]]) for n in (*entering, *leaving)} - {"INT8", "INT32"}
        assert widths <= {"UINT16", "INT16"} or widths == {"UINT8"}, (node.name, widths)
        seen += 1
    assert seen > 30


def test_each_site_fed_with_what_the_file_fed_it_gives_what_the_plan_gives(tmp_path: Path) -> None:
    plan, path = plan_of("w8a8"), tmp_path / "model.onnx"
    sites = TARGET.write(TARGET.prepare(graph(), models.spec_of(10), QNN), plan.precision, plan, path)
    taps = tuple(dict.fromkeys(name for s in sites for name in (s.input, s.output, s.rhs) if name))
    with RUNTIME.open(path, RunOptions(threads=1, taps=taps)) as runner:
        found = runner.run(models.pixels(2))
    alone = SiteSimulator(graph(), plan)
    assert {s.site for s in sites} >= {s.site for s in plan.sites if s.weight is not None or s.kind == "qk"}
    for where in sites:
        own, own_rhs = alone.read_grids(where.site)
        assert own is not None
        first = torch.from_numpy(found[where.input].astype(np.float32)).reshape(
            2, *alone.shapes(where.site)[0]
        )
        second = None
        if where.rhs and own_rhs is not None:
            integers = torch.from_numpy(found[where.rhs].astype(np.float32))
            second = _affine.dequantize(integers.reshape(2, *alone.second_shape(where.site)), own_rhs)
        for image in range(2):
            wanted = alone.run(
                where.site,
                _affine.dequantize(first[image], own),
                None if second is None else second[image],
            )
            steps = np.abs(wanted.numpy().ravel() - found[where.output][image].ravel().astype(np.float32))
            # softmax and sigmoid of ONNX Runtime look their results up in tables of their own
            assert steps.max() <= 1 and (steps > 0).mean() < 0.2, where.site


def test_widened_activations_take_16_bits_with_all_that_shares_their_grid(tmp_path: Path) -> None:
    plan = plan_of("w8a8")
    product = next(site.site for site in plan.sites if site.kind == "qk")
    wider = widen(plan, graph(), [product, "head:linear"])
    check_sites(wider, graph(), wider.capabilities)
    after = {site.site: site for site in wider.sites}
    softmax = next(site for site in wider.sites if site.kind == "softmax")
    assert after[product].output == softmax.input and softmax.input is not None
    assert softmax.input.dtype == "uint16" and after[product].rhs is not None
    assert after[product].rhs.dtype == "int16" and computed_grid(softmax).dtype == "uint16"
    assert softmax.output is not None and softmax.output.dtype == "uint8"
    head = after["head:linear"]
    assert head.input is not None and head.input.dtype == "uint16" and head.weight is not None
    real = wider.real_bias(head)
    before = plan.real_bias(next(site for site in plan.sites if site.site == "head:linear"))
    np.testing.assert_allclose(real, before, atol=1e-6)
    simulated = simulate(graph(), wider, images())[0].numpy()
    assert sqnr(simulated, answers(written(wider, tmp_path / "model.onnx"))) > 25


def test_a_plan_that_leaves_something_in_float_is_refused_by_name() -> None:
    plan = plan_of("w8a8")
    check_sites(plan, graph(), plan.capabilities)
    gone = replace(plan, sites=tuple(site for site in plan.sites if site.kind != "softmax"))
    with pytest.raises(InputError, match=r"softmax: it is not in the plan"):
        check_sites(gone, graph(), plan.capabilities)
    odd = QuantParams("uint8", (0.5,), (3,))
    edited = replace(
        plan, sites=tuple(replace(s, input=odd) if s.kind == "softmax" else s for s in plan.sites)
    )
    with pytest.raises(InputError, match=r"has another grid than that gives"):
        check_sites(edited, graph(), plan.capabilities)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"backend": "npu"}, "there is no backend 'npu'"),
        ({"backend": "qnn", "attention": "fused"}, "onnx.attention=fused does not go with onnx.backend=qnn"),
        ({"backend": "qnn", "opset": "18"}, "needs operator set 21"),
    ],
)
def test_options_that_a_backend_has_not_are_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TARGET.check_options(given)


def test_an_image_of_bytes_is_normalised_in_integers(tmp_path: Path) -> None:
    plan, given = plan_of("w8a16"), {**QNN, "input": "uint8"}
    TARGET.write(
        TARGET.prepare(graph(), models.spec_of(10), given), plan.precision, plan, tmp_path / "bytes.onnx"
    )
    bytes_in = answers(tmp_path / "bytes.onnx")
    assert sqnr(answers(written(plan, tmp_path / "real.onnx")), bytes_in) > 45
    model = onnx.load(tmp_path / "bytes.onnx")
    (image,) = model.graph.input
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    makers = {out: node.op_type for node in model.graph.node for out in node.output}
    computing = [
        n for n in model.graph.node if n.op_type in ("Mul", "Add", "Transpose") and n.name.startswith("image")
    ]
    assert computing and all(makers[n.input[0]] == "DequantizeLinear" for n in computing)


@pytest.mark.parametrize(("precision", "to_plan"), [("w8a8", 20.0), ("w8a16", 50.0)])
def test_the_emulated_npu_computes_what_the_plan_simulates(
    precision: str, to_plan: float, tmp_path: Path
) -> None:
    if (reason := QNN_RUNTIME.unavailable()) is not None:
        assert "onnxruntime-qnn" in reason or "glibc" in reason or "x86-64" in reason, reason
        return
    plan, path = plan_of(precision), tmp_path / "model.onnx"
    sites = TARGET.write(TARGET.prepare(graph(), models.spec_of(10), QNN), plan.precision, plan, path)
    with QNN_RUNTIME.open(path, RunOptions(threads=1)) as runner:
        executed = runner.run(models.pixels(4))["logits"]
    assert sqnr(simulate(graph(), plan, images()[:4])[0].numpy(), executed) > to_plan
    integer = QNN_RUNTIME.integer_macs(path)
    assert integer.static == total_macs(graph()) and integer.in_float == ()
    built = Built("onnx", plan.precision, 0.0, str(path), sites, backend="qnn")
    graph_file.save(graph(), tmp_path / "graph.pt2")
    for error in compare_sites(QNN_RUNTIME, built, models.pixels(2), plan, tmp_path / "graph.pt2"):
        assert error.max_steps is not None and error.allowed_steps is not None
        assert error.db >= SITE_DB or error.max_steps <= error.allowed_steps, error


def test_a_map_of_eleven_rows_is_computed_right_where_htp_itself_is_wrong(tmp_path: Path) -> None:
    if QNN_RUNTIME.unavailable() is not None:
        return  # why is asserted above
    rows = nn.Sequential(nn.Conv2d(3, 8, 3, 3, 1), nn.SiLU(), nn.Flatten(), nn.Linear(8 * 11 * 11, 10))
    small = models.graph_of(rows)
    npu_operators.ALGORITHM.apply(small, Stats({}, 0))
    plan = models.plan_of(small, TARGET.capabilities(Precision.W8A16, QNN), images(), behind=True)
    path = tmp_path / "model.onnx"
    TARGET.write(TARGET.prepare(small, models.spec_of(10), QNN), plan.precision, plan, path)
    with QNN_RUNTIME.open(path, RunOptions(threads=1)) as runner:
        executed = runner.run(models.pixels(4))["logits"]
    assert sqnr(simulate(small, plan, images()[:4])[0].numpy(), executed) > 50
