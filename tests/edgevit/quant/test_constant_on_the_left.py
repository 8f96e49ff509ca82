"""A product whose left side is a constant, as pooling by attention has it, against what the emulated NPU computes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

from converters.onnx import TARGET
from edgevit.core.plans import QuantPlan
from edgevit.core.precisions import Precision
from edgevit.core.runner import RunOptions
from edgevit.core.types import Graph
from edgevit.core.widths import computed_grid
from edgevit.quant.check import check_sites
from edgevit.quant.simulate import simulate
from edgevit.quant.widen import widen
from edgevit.runtimes.onnxruntime import RUNTIME
from edgevit.runtimes.qnn import RUNTIME as QNN_RUNTIME
from tests._sqnr import sqnr
from tests.converters import _small_models as models

QNN = {"backend": "qnn"}


class Pooled(nn.Module):
    """Learned queries look at the patches."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.head = nn.Conv2d(3, 16, 8, 8), nn.Linear(16, 10)
        self.queries = nn.Parameter(torch.randn(1, 4, 16))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        tokens = self.patch(image).flatten(2).transpose(1, 2)
        seen = (self.queries @ tokens.transpose(1, 2)).softmax(-1) @ tokens
        out: torch.Tensor = self.head(seen.mean(1))
        return out


@cache
def graph() -> Graph:
    return models.graph_of(Pooled())


def images() -> torch.Tensor:
    return models.normalised(models.pixels(12))


@cache
def plan_of(precision: str) -> QuantPlan:
    return models.plan_of(graph(), TARGET.capabilities(Precision(precision), QNN), images(), behind=True)


def product(plan: QuantPlan) -> str:
    (found,) = (s.site for s in plan.sites if s.constants and s.kind in ("qk", "av", "matmul"))
    return found


def test_the_right_side_is_symmetric_and_the_result_is_not() -> None:
    plan = plan_of("w8a16")
    check_sites(plan, graph(), plan.capabilities)
    site = next(s for s in plan.sites if s.site == product(plan))
    assert site.input is not None and site.input.dtype == "int16" and site.input.zero_point == (0,)
    assert site.constants[0].dtype == "uint16" and computed_grid(site).dtype == "uint16"


def test_a_widened_one_computes_in_unsigned_16_bits() -> None:
    plan = plan_of("w8a8")
    wider = widen(plan, graph(), ["patch:conv"])
    check_sites(wider, graph(), wider.capabilities)
    site = next(s for s in wider.sites if s.site == product(plan))
    assert site.input is not None and site.input.dtype == "int16"
    assert site.output is not None and site.output.dtype == "uint8" and computed_grid(site).dtype == "uint16"


@pytest.mark.parametrize(("precision", "to_plan"), [("w8a8", 20.0), ("w8a16", 50.0)])
def test_files_compute_what_the_plan_simulates(precision: str, to_plan: float, tmp_path: Path) -> None:
    plan, path = plan_of(precision), tmp_path / "model.onnx"
    TARGET.write(TARGET.prepare(graph(), models.spec_of(10), QNN), plan.precision, plan, path)
    simulated = simulate(graph(), plan, images())[0].numpy()
    runtimes = (RUNTIME, QNN_RUNTIME) if QNN_RUNTIME.unavailable() is None else (RUNTIME,)
    for runtime in runtimes:
        with runtime.open(path, RunOptions(threads=1)) as runner:
            assert sqnr(simulated, runner.run(models.pixels(12))["logits"]) > to_plan
