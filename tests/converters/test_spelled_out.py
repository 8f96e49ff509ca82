"""Operators that some target lacks, spelled out by rewrites, as each runtime executes them, against PyTorch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from edgevit.core.runner import RunOptions
from edgevit.graph.adapt import adapt
from edgevit.registries import REWRITES, RUNTIMES, TARGETS
from tests._sqnr import sqnr
from tests.converters import _small_models as models


class _Net(nn.Module):
    """Layers, borders, windows and volumes of what a convolution makes: 4 channels of 8x8."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 4, 4)
        self.lstm = nn.LSTM(32, 3, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(32, 3)
        self.apart = nn.ConvTranspose2d(4, 8, 3, 2, padding=1, output_padding=1, groups=2)
        self.tokens = nn.Conv1d(4, 6, 1)
        self.narrow = nn.Conv2d(3, 4, (16, 32))
        self.pointwise = nn.Linear(4, 5)
        self.one = nn.Linear(1, 3, bias=False)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = self.stem(image)
        rows = x.permute(0, 2, 1, 3).flatten(2)
        q, k, v = self.one(x[:, :1].flatten(2).mT).unbind(-1)
        return (
            self.lstm(rows)[0],
            self.gru(rows[:, :3].mT.reshape(3, 1, 32))[1],
            functional.adaptive_max_pool2d(x, (3, 5)),
            functional.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False),
            functional.pad(x, (2, 1, 1, 3), "reflect"),
            functional.pad(x, (2, 1, 1, 3), "replicate"),
            functional.pad(x, (2, 1, 1, 3), "circular"),
            functional.pad(x, (-1, 2, 1, -3), value=0.5),
            self.apart(x),
            self.tokens(x.flatten(2)),
            functional.fold(functional.unfold(x, 3, padding=1, stride=2), (8, 8), 3, padding=1, stride=2),
            functional.pad(x, (1, 1, 1, 1)).unfold(2, 6, 4).unfold(3, 6, 4).reshape(2, 2, 4, 36),
            functional.interpolate(x.reshape(1, 2, 2, 8, 8), (3, 5, 12), mode="trilinear"),
            torch.addcmul(x[:, :1], x, x.sigmoid(), value=0.5),
            torch.addcmul(x, x.tanh(), x[:, :, :1]),
            torch.addcdiv(x, x, x.abs() + 1, value=-2),
            (q @ k.mT).softmax(-1) @ v,
            self.pointwise(self.narrow(image).permute(0, 2, 3, 1)),
            self.tokens(x.flatten(2) @ x.flatten(2).sigmoid().mT),
        )


class _Joined(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.cat([value.reshape(1, -1) for value in self.net(image)], 1)


@pytest.mark.parametrize(
    ("target", "runtime"),
    [
        ("onnx", "onnxruntime"),
        pytest.param("tflite", "litert", marks=pytest.mark.family),
        ("coreml", "coreml_reference"),
    ],
)
def test_each_is_pytorchs(target: str, runtime: str, tmp_path: Path) -> None:
    module, images = _Joined(_Net()), models.pixels(2)
    rewrites = {name: REWRITES.get(name) for name in REWRITES.names()}
    graph = adapt(models.graph_of(module), rewrites, target, planned=False)
    with torch.no_grad():
        wanted = [_values(module, image) for image in models.normalised(images)]
    lengths = [value.numel() for value in wanted[0]]
    plugin, path = TARGETS.get(target), tmp_path / f"m.{TARGETS.get(target).suffix}"
    plugin.write(plugin.prepare(graph, models.spec_of(sum(lengths)), {}), "fp32", None, path)
    with RUNTIMES.get(runtime).open(path, RunOptions(threads=1)) as runner:
        found = torch.from_numpy(runner.run(images)["logits"]).split(lengths, 1)
    for index, values in enumerate(zip(*wanted, strict=True)):
        level = sqnr(torch.stack([value.reshape(-1) for value in values]), found[index])
        assert level > 100, (index, level)


def _values(module: _Joined, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
    found: tuple[torch.Tensor, ...] = module.net(image[None])
    return found
