"""What Keras' PyTorch backend writes: aliases, channels last, bias and batch norm as arithmetic."""

from __future__ import annotations

import torch
from torch import nn

from edgevit.graph.rewrites import fold_arithmetic, plain_operators
from tests.edgevit.graph.rewrites import _rewritten as r


def test_aliases_get_the_name_that_converters_know() -> None:
    def lines(_: object, x: torch.Tensor) -> torch.Tensor:
        y = torch.multiply(torch.subtract(x, 2.0), torch.true_divide(x, 3.0))
        return torch.concat([torch.negative(y), torch.absolute(x)], 1).swapaxes(1, 2)

    module = r.Lines(lines)
    graph = r.rewritten(module, plain_operators.REWRITE)
    assert r.kinds(graph) == {"sub": 1, "div": 1, "mul": 1, "neg": 1, "abs": 1, "cat": 1, "transpose": 1}
    assert r.difference(graph, module) > 300


def _keras(self: nn.Module, x: torch.Tensor) -> torch.Tensor:
    y = self.conv(x).permute(0, 2, 3, 1)
    return ((y - self.mean) * self.gain + self.shift).permute(0, 3, 1, 2)


def _constants(*shape: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name in ("mean", "gain", "shift")}


def test_a_written_out_norm_goes_into_the_convolution_before_the_permutation() -> None:
    module = r.Lines(_keras, conv=nn.Conv2d(3, 4, 3, bias=False), **_constants(1, 1, 1, 4))
    graph = r.rewritten(module, fold_arithmetic.REWRITE)
    assert r.kinds(graph) == {"conv": 1, "permute": 2}
    assert r.difference(graph, module) > 120


def test_constants_along_another_axis_stay() -> None:
    module = r.Lines(_keras, conv=nn.Conv2d(3, 4, 1, bias=False), **_constants(1, 16, 1, 1))
    assert r.kinds(r.rewritten(module, fold_arithmetic.REWRITE)) == {
        "conv": 1,
        "permute": 2,
        "sub": 1,
        "mul": 1,
        "add": 1,
    }


def test_a_bias_beside_a_layer_becomes_its_own_and_a_second_one_stays() -> None:
    def lines(self: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x) + self.bias

    generator = torch.Generator().manual_seed(0)
    bias = torch.randn(5, generator=generator)
    module = r.Lines(lines, linear=nn.Linear(16, 5, bias=False), bias=bias)
    graph = r.rewritten(module, fold_arithmetic.REWRITE)
    assert r.kinds(graph) == {"linear": 1} and r.difference(graph, module) > 120
    module = r.Lines(lines, linear=nn.Linear(16, 5), bias=bias)
    assert r.kinds(r.rewritten(module, fold_arithmetic.REWRITE)) == {"linear": 1, "add": 1}
