"""Models that cannot be converted: code 3, and the operator, the module and the line are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests._command import edgevit

NETS = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, block):
        super().__init__()
        self.stem, self.blocks, self.head = nn.Conv2d(3, 8, 8, 8), nn.Sequential(block), nn.Linear(8, 3)

    def forward(self, image):
        return self.head(self.blocks(self.stem(image)).mean((2, 3)))


class Branch(nn.Module):
    def forward(self, x):
        if x.mean() > 0:  # branch
            return x
        return -x


class Selection(nn.Module):
    def forward(self, x):
        return x * x[x > 0].sum()  # selection


class Fourier(nn.Module):
    def forward(self, x):
        return torch.fft.fft2(x).real  # fourier


class Outside(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.from_numpy(x.detach().numpy() * 2)  # function

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Function(nn.Module):
    def forward(self, x):
        return Outside.apply(x)


class Fixed(nn.Module):
    def forward(self, x):
        return x.reshape(1, 8, 7, 7)  # fixed


class Bessel(nn.Module):
    def forward(self, x):
        return torch.special.bessel_j0(x)  # bessel


def branch(): return Net(Branch())
def selection(): return Net(Selection())
def fourier(): return Net(Fourier())
def function(): return Net(Function())
def fixed(): return Net(Fixed())
def bessel(): return Net(Bessel())
"""


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("unsupported") / "nets.py"
    path.write_text(NETS)
    return path


def line_of(mark: str) -> int:
    return 1 + next(i for i, line in enumerate(NETS.splitlines()) if line.endswith(f"# {mark}"))


def convert(nets: Path, factory: str, target: str) -> tuple[int, str, str]:
    flags = ("--image-size", "32", "--to", target, "--precision", "fp32", "-o", nets.parent / "out", "--json")
    flags = (*flags, "-v")
    stated = ("--preprocess", "normalize=imagenet")
    done = edgevit("convert", f"python:{nets}:{factory}", *flags, *stated, "--overwrite")
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("branch", ("control flow", "torch.where")),
        ("selection", ("aten.index", "depends on the values", "fixed shape")),
        ("fourier", ("aten.fft_fft2", "complex", "real and imaginary")),
        ("function", ("numpy", "PyTorch's operators")),
        ("fixed", ("shape", "--image-size")),
    ],
)
def test_what_cannot_be_exported_is_told_with_module_and_line(
    factory: str, words: tuple[str, ...], nets: Path
) -> None:
    code, printed, _ = convert(nets, factory, "onnx")
    assert code == 3, printed
    told = json.loads(printed)["error"]
    text = told["message"] + " " + told["hint"]
    assert f"nets.py:{line_of(factory)}" in text and "blocks.0" in text
    assert all(word in text for word in words), text


@pytest.mark.parametrize(
    "target", ["onnx", *(pytest.param(t, marks=pytest.mark.family) for t in ("tflite", "coreml"))]
)
def test_operator_that_a_converter_does_not_know_is_told_with_module_and_line(
    target: str, nets: Path
) -> None:
    code, printed, errors = convert(nets, "bessel", target)
    text = printed + errors
    assert code == 3, text
    assert "aten.special_bessel_j0" in text and "blocks.0" in text and f"nets.py:{line_of('bessel')}" in text
    assert "other operators" in text
    # What failed is a row of the report; where it was raised, within the converter too, is told to who asks with -v.
    assert "Traceback (most recent call last)" in errors and "converters/onnx/" in errors
    assert "Traceback" not in printed
