"""GPTQ's loop against rounding to nearest, and against all roundings of a tiny layer."""

from __future__ import annotations

import itertools

import torch

from edgevit.quant.algorithms import gptq, nearest


def correlated(inputs: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(400, inputs, generator=generator, dtype=torch.float64)
    rows = mixed @ torch.randn(inputs, inputs, generator=generator, dtype=torch.float64) ** 3
    return (rows.T @ rows / len(rows))[None]


def loss(weight: torch.Tensor, steps: torch.Tensor, scale: torch.Tensor, hessian: torch.Tensor) -> float:
    wrong = weight - steps.double() * scale
    return float((wrong @ hessian * wrong).sum())


def test_correlated_inputs_lose_less_than_half_of_what_nearest_loses() -> None:
    weight = torch.randn(1, 24, 160, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    scale, hessian = weight.abs().amax(-1, keepdim=True) / 7, correlated(160)
    lost = {
        name: loss(weight, round_weight(weight, scale, hessian, 7, None), scale, hessian)
        for name, round_weight in (("gptq", gptq.round_weight), ("nearest", nearest.round_weight))
    }
    assert lost["gptq"] < 0.5 * lost["nearest"]


def test_independent_inputs_are_rounded_to_nearest() -> None:
    weight = torch.randn(2, 5, 9, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    scale = weight.abs().amax(-1, keepdim=True) / 127
    hessian = torch.diag(torch.linspace(0.5, 3, 9, dtype=torch.float64)).expand(2, 9, 9)
    got = gptq.round_weight(weight, scale, hessian, 127, None)
    assert torch.equal(got, nearest.round_weight(weight, scale, hessian, 127, None))


def test_no_rounding_of_a_tiny_layer_is_much_better() -> None:
    weight = torch.tensor([[[0.35, 0.36, 0.34]]], dtype=torch.float64)
    scale = torch.full((1, 1, 1), 0.25, dtype=torch.float64)
    hessian = (0.9 + 0.1 * torch.eye(3, dtype=torch.float64))[None]
    found = loss(weight, gptq.round_weight(weight, scale, hessian, 7, None), scale, hessian)
    every = (
        torch.tensor(s, dtype=torch.float64).reshape(1, 1, 3)
        for s in itertools.product(range(-7, 8), repeat=3)
    )
    best = min(loss(weight, steps, scale, hessian) for steps in every)
    assert best <= found <= 2 * best
    assert found < loss(weight, nearest.round_weight(weight, scale, hessian, 7, None), scale, hessian)


def test_neighbours_stay_within_the_pair_limit_and_others_make_up_for_it() -> None:
    weight = torch.randn(1, 16, 64, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    scale, hessian = weight.abs().amax(-1, keepdim=True) / 127, correlated(64)
    free, tied = (gptq.round_weight(weight, scale, hessian, 127, limit) for limit in (None, 128))
    sums = tied[..., 0::2].int().abs() + tied[..., 1::2].int().abs()
    assert (
        int(sums.max()) <= 128
        and int((free[..., 0::2].int().abs() + free[..., 1::2].int().abs()).max()) > 128
    )
    plain = nearest.round_weight(weight, scale, hessian, 127, 128)
    assert loss(weight, tied, scale, hessian) < loss(weight, plain, scale, hessian)


def test_without_measured_inputs_it_is_nearest() -> None:
    weight = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    scale = weight.abs().amax(-1, keepdim=True) / 7
    assert torch.equal(
        gptq.round_weight(weight, scale, None, 7, None), nearest.round_weight(weight, scale, None, 7, None)
    )
