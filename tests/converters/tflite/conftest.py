"""A small hybrid, its graph and its float conversion, made once for all files of this folder that want them."""

from __future__ import annotations

import pytest
import torch

from converters.tflite.target import TARGET, FloatConversion
from edgevit.core.types import Graph
from tests.converters import _small_models as models
from tests.converters.tflite import _models as small


@pytest.fixture(scope="session")
def module() -> torch.nn.Module:
    return small.Hybrid()


@pytest.fixture(scope="session")
def graph(module: torch.nn.Module) -> Graph:
    return models.graph_of(module)


@pytest.fixture(scope="session")
def prepared(graph: Graph) -> FloatConversion:
    found = TARGET.prepare(graph, models.spec_of(10), {})
    assert isinstance(found, FloatConversion)
    return found
