"""A model above what the format can hold is refused before any conversion."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from converters.tflite import TARGET
from edgevit.core.errors import UnsupportedError
from edgevit.core.types import Graph
from tests.converters import _small_models as models


def _graph(numbers: int) -> Any:
    """Only the sizes of the weights are looked at: nothing is allocated."""
    weights = {"a": torch.empty(numbers, device="meta"), "table": torch.empty(8, dtype=torch.int64)}
    return Graph(SimpleNamespace(state_dict=weights, constants={}))  # type: ignore[arg-type]


def test_weights_above_two_gibibytes_are_refused_before_the_converter_is_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "litert_torch", None)
    with pytest.raises(UnsupportedError, match="2147483648 bytes as float32.*ends at 2147483647") as error:
        TARGET.prepare(_graph(1 << 29), models.spec_of(10), {})
    assert "8-bit" in error.value.hint
