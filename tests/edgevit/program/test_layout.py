"""Chains of reshapes and permutations, in few steps, move every element where the chain does."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest

from edgevit.program import layout
from edgevit.program.layout import MAX_RANK


def moved(array: np.ndarray, found: tuple[layout.Step, ...]) -> np.ndarray:
    for kind, values in found:
        assert len(values) <= MAX_RANK or kind == "reshape"
        array = array.transpose(values) if kind == "permute" else array.reshape(values)
        assert kind == "reshape" or array.ndim <= MAX_RANK
    return array


def a_chain(seed: int, factors: int) -> tuple[np.ndarray, np.ndarray, layout.Layout]:
    """A tensor, the same after a reshape to `factors` axes, a permutation and a reshape, and the layout of it."""
    chance = random.Random(seed)
    sizes = [chance.choice((2, 3)) for _ in range(factors)]
    axes = chance.sample(range(factors), factors)
    cut = chance.randint(1, factors - 1)
    given = np.arange(math.prod(sizes)).reshape(math.prod(sizes[:cut]), -1)
    permuted = given.reshape(sizes).transpose(axes)
    wanted = permuted.reshape(math.prod(permuted.shape[:cut]), -1)
    spread = layout.reshaped(layout.identity(given.shape), sizes)
    assert spread is not None
    done = layout.reshaped(layout.permuted(spread, axes), wanted.shape)
    assert done is not None
    return given, wanted, done


@pytest.mark.parametrize("factors", [2, 4, 6])
@pytest.mark.parametrize("seed", range(5))
def test_few_factors(seed: int, factors: int) -> None:
    given, wanted, chain = a_chain(seed, factors)
    assert chain.shape == wanted.shape
    assert (moved(given, layout.steps(given.shape, chain, wanted.shape)) == wanted).all()


@pytest.mark.parametrize("seed", range(3))
def test_as_many_factors_as_a_hierarchy_of_windows_has(seed: int) -> None:
    given, wanted, chain = a_chain(seed, 10)
    found = layout.steps(given.shape, chain, wanted.shape)
    assert (moved(given, found) == wanted).all()
    assert layout.permutations_in(found) <= 5


def test_every_order_of_four_factors_takes_one_permutation() -> None:
    for order in itertools.permutations(range(4)):
        if order != (0, 1, 2, 3):
            assert len(layout._moves(order)) == 1
