"""Operations decomposed once for all their places: litert-torch's own, whole decomposition is the oracle."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch

from converters.tflite import decompose, lower
from edgevit.core.types import Graph
from tests.converters import _small_models as models


class _Blocks(torch.nn.Module):
    """Convolutions, whose layout changes, and two equal blocks with several results, views and products."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 4, 4), torch.nn.BatchNorm2d(8), torch.nn.Hardswish(), torch.nn.AvgPool2d(2)
        )
        self.norms = torch.nn.ModuleList(torch.nn.LayerNorm(8) for _ in range(2))
        self.qkv = torch.nn.ModuleList(torch.nn.Linear(8, 24) for _ in range(2))
        self.head = torch.nn.Linear(8, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.stem(image).flatten(2).transpose(1, 2)
        for norm, qkv in zip(self.norms, self.qkv, strict=True):
            q, k, v = qkv(norm(x)).reshape(1, -1, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
            x = x + (q @ k.transpose(-1, -2)).softmax(-1).matmul(v).transpose(1, 2).flatten(2)
            x = x * torch.nn.functional.gelu(x) + x.mean(1, keepdim=True)
        found: torch.Tensor = self.head(x.amax(1))
        return found


@pytest.fixture
def graph() -> Graph:
    torch.manual_seed(0)
    return models.graph_of(_Blocks().eval())


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Operations of each program that PyTorch's tracer decomposed."""
    found: list[int] = []
    own: Any = torch.export.ExportedProgram.run_decompositions

    def counted(program: torch.export.ExportedProgram, *given: object) -> object:
        found.append(sum(node.op == "call_function" for node in program.graph.nodes))
        return own(program, *given)

    monkeypatch.setattr(torch.export.ExportedProgram, "run_decompositions", counted)
    return found


def _whole(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> bytes:
    with monkeypatch.context() as patch:
        patch.setattr(decompose, "shared", nullcontext)
        return lower.lower(graph, reverse_channels=False)[0]


def test_files_are_the_same_to_the_byte_and_less_is_traced(
    graph: Graph, traced: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = _whole(graph, monkeypatch)
    whole = traced.copy()
    traced.clear()
    assert lower.lower(graph, reverse_channels=False)[0] == wanted
    assert len(traced) == len(whole)
    assert sum(traced) < 0.6 * sum(whole)


def test_what_is_not_covered_is_decomposed_as_ever(
    graph: Graph, traced: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = _whole(graph, monkeypatch)
    whole = traced.copy()
    traced.clear()

    def refuse(*given: object) -> object:
        raise decompose._NotCovered

    monkeypatch.setattr(decompose, "_key", refuse)
    assert lower.lower(graph, reverse_channels=False)[0] == wanted
    assert traced == whole


def test_the_library_is_as_before_afterwards() -> None:
    from litert_torch import fx_infra
    from litert_torch.fx_infra import _safe_run_decompositions as theirs

    def fail() -> None:
        assert fx_infra.safe_run_decompositions is not before
        raise ZeroDivisionError

    before = fx_infra.safe_run_decompositions
    with pytest.raises(ZeroDivisionError), decompose.shared():
        fail()
    assert fx_infra.safe_run_decompositions is theirs.safe_run_decompositions is before
