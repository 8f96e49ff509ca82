"""Selection and fold against brute force and PyTorch's own least squares."""

from __future__ import annotations

import itertools

import pytest
import torch

from edgevit.prune import _select
from edgevit.prune._moments import HiddenMoments


def moments_of(rows: torch.Tensor) -> HiddenMoments:
    return HiddenMoments(rows.mean(0), torch.cov(rows.T, correction=0), len(rows))


@pytest.fixture
def no_ridge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_select, "RIDGE", 1e-12)


def mixed(tokens: int, hidden: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    basis = torch.randn(hidden, hidden, generator=generator, dtype=torch.float64)
    rows = torch.randn(tokens, hidden, generator=generator, dtype=torch.float64) @ basis
    return rows + torch.randn(hidden, generator=generator, dtype=torch.float64)


def lstsq_error(rows: torch.Tensor, target: torch.Tensor, kept: list[int]) -> tuple[float, torch.Tensor]:
    """Squared error per token and solution (kept + 1, out) of the affine regression of target on rows[:, kept]."""
    design = torch.cat([rows[:, kept], torch.ones(len(rows), 1, dtype=rows.dtype)], 1)
    solution = torch.linalg.lstsq(design, target).solution
    return float((design @ solution - target).square().sum() / len(rows)), solution


def test_folded_weight_and_bias_are_the_affine_least_squares_solution(no_ridge: None) -> None:
    rows = mixed(200, 12, 0)
    weight = torch.randn(5, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    bias = torch.arange(5, dtype=torch.float64)
    fold = _select.select(moments_of(rows), weight, bias, 7)
    error, solution = lstsq_error(rows, rows @ weight.T + bias, fold.kept.tolist())
    torch.testing.assert_close(fold.weight, solution[:-1].T, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(fold.bias, solution[-1], rtol=1e-6, atol=1e-8)
    variance = (rows @ weight.T).var(0, correction=0).sum()
    assert fold.error == pytest.approx(error / float(variance), rel=1e-6)


def test_each_step_removes_the_neuron_that_costs_least(no_ridge: None) -> None:
    rows = mixed(100, 9, 2)
    weight = torch.randn(4, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    target = rows @ weight.T
    kept = list(range(9))
    for keep in range(8, 2, -1):
        kept = min(
            (list(c) for c in itertools.combinations(kept, keep)),
            key=lambda c: lstsq_error(rows, target, c)[0],
        )
        assert _select.select(moments_of(rows), weight, None, keep).kept.tolist() == kept


def test_neurons_that_others_can_replace_cost_nothing() -> None:
    rows = mixed(300, 16, 4)
    rows[:, 8:12] = 2 * rows[:, 0:4] + rows[:, 4:8] - 1  # linear in others
    rows[:, 12:16] = torch.tensor([0.0, 1.0, -2.0, 3.0], dtype=torch.float64)  # constant: into the bias
    weight = torch.randn(6, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    fold = _select.select(moments_of(rows), weight, None, 8)
    assert fold.error < 1e-5
    assert fold.error_unfolded > 1e-2
    assert not set(fold.kept.tolist()) & {12, 13, 14, 15}
    new = rows[:, fold.kept] @ fold.weight.T + fold.bias
    torch.testing.assert_close(new, rows @ weight.T, rtol=0, atol=0.1)


def test_fewer_tokens_than_neurons_and_dead_neurons_give_finite_weights() -> None:
    rows = mixed(5, 24, 6)
    fold = _select.select(moments_of(rows), torch.ones(3, 24), torch.zeros(3), 16)
    assert fold.weight.isfinite().all()
    dead = _select.select(moments_of(torch.zeros(10, 8, dtype=torch.float64)), torch.ones(2, 8), None, 4)
    torch.testing.assert_close(dead.weight, torch.ones(2, 4, dtype=torch.float64))


@pytest.mark.parametrize(
    ("hidden", "amount", "keep"),
    [
        (128, 0.25, 96),
        (160, 0.25, 120),
        (768, 0.25, 576),
        (768, 0.5, 384),
        (100, 0.25, 72),
        (8, 0.25, 6),
        (2, 0.9, 1),
    ],
)
def test_the_number_kept_is_a_multiple_of_eight_where_that_leaves_a_choice(
    hidden: int, amount: float, keep: int
) -> None:
    assert _select.keep_count(hidden, amount) == keep
