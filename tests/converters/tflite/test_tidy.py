"""The operators that a TFLite file is left with, read back with an independent reader, and their values."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tflite
import torch
from torch import nn

from converters.tflite import TARGET
from edgevit.core.runner import RunOptions
from edgevit.core.types import Graph
from edgevit.graph.adapt import adapt
from edgevit.registries import REWRITES
from edgevit.runtimes.litert import RUNTIME
from tests._sqnr import sqnr
from tests.converters import _small_models as models
from tests.converters.tflite import _models as small

IMAGES = models.pixels(2)


class Block(nn.Module):
    """A convolution, one transformer block with one projection for q, k and v, and a convolution again."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.out = nn.Conv2d(3, 24, 4, 4), nn.Conv2d(24, 16, 3, padding=1)
        self.norm1, self.norm2 = nn.LayerNorm(24), nn.LayerNorm(24)
        self.qkv, self.proj = nn.Linear(24, 72), nn.Linear(24, 24)
        self.fc1, self.fc2, self.head = nn.Linear(24, 48), nn.Linear(48, 24), nn.Linear(16, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.stem(image).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(self.norm1(x)).reshape(1, 64, 3, 3, 8).permute(2, 0, 3, 1, 4).unbind(0)
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.proj(y.transpose(1, 2).reshape(1, 64, 24))
        x = x + self.fc2(nn.functional.gelu(self.fc1(self.norm2(x))))
        x = self.out(nn.functional.silu(x.transpose(1, 2).reshape(1, 24, 8, 8)))
        return self.head(x.mean((2, 3)))


@pytest.fixture(scope="module")
def module() -> nn.Module:
    return Block()


@pytest.fixture(scope="module")
def graph(module: nn.Module) -> Graph:
    return models.graph_of(module)


@pytest.fixture(scope="module")
def file(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    rewrites = {name: REWRITES.get(name) for name in REWRITES.names()}
    path = tmp_path_factory.mktemp("tidy") / "m.tflite"
    adapted = adapt(graph, rewrites, "tflite", planned=False)
    TARGET.write(TARGET.prepare(adapted, models.spec_of(10), {}), "fp32", None, path)
    return path


def _logits(path: Path) -> np.ndarray:
    with RUNTIME.open(path, RunOptions(threads=1)) as runner:
        return runner.run(IMAGES)["logits"]


def test_values_are_pytorchs_and_one_delegate_runs_all(file: Path, module: nn.Module) -> None:
    with torch.no_grad():
        wanted = module(models.normalised(IMAGES)[:1]), module(models.normalised(IMAGES)[1:])
    assert sqnr(torch.cat(wanted), _logits(file)) > 100
    assert RUNTIME.integer_macs(file).partitions == 1


def test_a_block_has_no_operator_too_many(file: Path) -> None:
    found = Counter(kind for kind, _, _ in small.operators(file))
    norm = Counter(MEAN=2, SUB=1, MUL=2, ADD=1, RSQRT=1)
    attention = Counter(RESHAPE=2, TRANSPOSE=2, SPLIT=1, BATCH_MATMUL=2, SOFTMAX=1, FULLY_CONNECTED=2)
    mlp = Counter(FULLY_CONNECTED=2, GELU=1, ADD=2)
    rest = Counter(CONV_2D=2, RESHAPE=2, LOGISTIC=1, MUL=1, MEAN=1, FULLY_CONNECTED=1)
    wanted = norm + norm + attention + mlp + rest
    found.subtract(wanted)
    assert not {kind: count for kind, count in found.items() if count > 0}


def test_k_is_read_transposed_and_q_k_v_are_one_split(file: Path) -> None:
    model = tflite.Model.GetRootAs(file.read_bytes(), 0)
    part = model.Subgraphs(0)
    transposed = []
    for index in range(part.OperatorsLength()):
        operator = part.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex())
        kind = small.CODES[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        if kind == "BATCH_MATMUL":
            options = tflite.BatchMatMulOptions()
            options.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
            transposed.append((options.AdjX(), options.AdjY()))
        if kind == "SPLIT":
            assert operator.OutputsLength() == 3
    assert transposed == [(False, True), (False, False)]


def test_no_tensor_has_more_than_four_axes(file: Path) -> None:
    assert RUNTIME.contents(file).max_rank == 4
