"""MIL's gather and scatter operations against loops over every element, with indices of any rank."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from edgevit.core.errors import InputError, UnsupportedError
from edgevit.runtimes._mil.table import KERNELS

MODES: dict[str, Callable[[Any, Any], Any]] = {
    "update": lambda old, new: new,
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "max": max,
    "min": min,
}


def call(name: str, **inputs: Any) -> np.ndarray:
    given = {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in inputs.items()}
    return np.asarray(KERNELS[name].function(**given))


def distinct(rng: np.random.Generator, count: int, shape: tuple[int, ...]) -> np.ndarray:
    """Indices below `count`, each at most once: the order of updates of one place is not defined."""
    return rng.permutation(count)[: int(np.prod(shape))].reshape(shape).astype(np.int32)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 2), (1, 2, 2)])
def test_scatter_by_element(mode: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(shape))
    for axis in (0, 1, -1):
        data = rng.uniform(1, 2, (5, 6, 7)).astype(np.float32)
        before, after = data.shape[:axis], data.shape[axis % 3 + 1 :]
        before = data.shape[: axis % 3]
        indices = distinct(rng, 5, shape)
        updates = rng.uniform(1, 2, (*before, *shape, *after)).astype(np.float32)
        expected = data.copy()
        for p in np.ndindex(before):
            for i in np.ndindex(shape):
                for q in np.ndindex(after):
                    place = (*p, int(indices[i]), *q)
                    expected[place] = MODES[mode](expected[place], updates[(*p, *i, *q)])
        found = call("scatter", data=data, indices=indices, updates=updates, axis=axis, mode=mode)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_scatter_along_axis_by_element(mode: str, rank: int) -> None:
    rng = np.random.default_rng(rank)
    for axis in range(-rank, rank):
        data = rng.uniform(1, 2, (4, 3, 5)[:rank]).astype(np.float32)
        indices = np.apply_along_axis(
            lambda line: rng.permutation(len(line)), axis, np.empty(data.shape)
        ).astype(np.int32)
        updates = rng.uniform(1, 2, data.shape).astype(np.float32)
        expected = data.copy()
        for i in np.ndindex(data.shape):
            place = list(i)
            place[axis] = int(indices[i])
            expected[tuple(place)] = MODES[mode](expected[tuple(place)], updates[i])
        found = call("scatter_along_axis", data=data, indices=indices, updates=updates, axis=axis, mode=mode)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_scatter_nd_by_element(mode: str, depth: int, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(depth)
    data = rng.uniform(1, 2, (4, 5, 6)).astype(np.float32)
    rows = distinct(rng, int(np.prod(data.shape[:depth])), shape)
    indices = np.stack(np.unravel_index(rows, data.shape[:depth]), -1).astype(np.int32)
    updates = rng.uniform(1, 2, (*shape, *data.shape[depth:])).astype(np.float32)
    expected = data.copy()
    for i in np.ndindex(shape):
        place = tuple(indices[i])
        for q in np.ndindex(data.shape[depth:]):
            expected[(*place, *q)] = MODES[mode](expected[(*place, *q)], updates[(*i, *q)])
    found = call("scatter_nd", data=data, indices=indices, updates=updates, mode=mode)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_several_updates_of_one_place_combine_and_integers_divide_as_integers() -> None:
    settings = {"indices": np.array([1, 1], np.int32), "updates": np.array([2, 3], np.int32)}
    data = np.array([5, 37], np.int32)
    found = {mode: call("scatter", data=data, mode=mode, **settings)[1] for mode in MODES if mode != "update"}
    assert found == {"add": 42, "sub": 32, "mul": 222, "div": 6, "max": 37, "min": 2}


@pytest.mark.parametrize("shape", [(), (3,), (2, 2), (2, 1, 2)])
def test_gather_is_numpys_take(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    for x in (rng.standard_normal((4, 5, 6)), rng.standard_normal(4)):
        for axis in range(-x.ndim, x.ndim):
            indices = rng.integers(-4, 4, shape).astype(np.int32)
            assert np.array_equal(
                call("gather", x=x, indices=np.asarray(indices), axis=axis), x.take(indices, axis)
            )


def test_gather_and_gather_nd_in_batches_by_element() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 4, 5))
    indices = rng.integers(0, 4, (2, 3, 6)).astype(np.int32)
    expected = np.stack([[x[b, c].take(indices[b, c], 0) for c in range(3)] for b in range(2)])
    assert np.array_equal(call("gather", x=x, indices=indices, axis=2, batch_dims=2), expected)
    places = rng.integers(0, 3, (2, 6, 2)).astype(np.int32)
    expected = np.stack([[x[b, i, j] for i, j in places[b]] for b in range(2)])
    assert np.array_equal(call("gather_nd", x=x, indices=places, batch_dims=1), expected)


X = np.arange(6, dtype=np.float32).reshape(2, 3)
OUTSIDE: list[tuple[str, dict[str, Any], list[Any]]] = [
    ("gather", {"x": X, "axis": 1}, [0, 3]),
    ("gather_along_axis", {"x": X, "axis": 1}, [[0, 3], [0, 0]]),
    ("gather_nd", {"x": X}, [[1, 3], [0, 0]]),
    ("gather_nd", {"x": X, "batch_dims": 1}, [[3], [0]]),
    ("scatter", {"data": X, "axis": 1, "updates": np.ones((2, 2), np.float32)}, [0, 3]),
    ("scatter_along_axis", {"data": X, "axis": 1, "updates": np.ones((2, 2), np.float32)}, [[0, 3], [0, 0]]),
    ("scatter_nd", {"data": X, "updates": np.ones(2, np.float32)}, [[1, 3], [0, 0]]),
]


@pytest.mark.parametrize(
    ("name", "inputs", "indices"), OUTSIDE, ids=[f"{i}-{c[0]}" for i, c in enumerate(OUTSIDE)]
)
def test_indices_outside_of_the_axis(name: str, inputs: dict[str, Any], indices: list[Any]) -> None:
    """Beyond the end always; negative ones from iOS 17 on, where `validate_indices` says who finds out."""
    beyond = np.array(indices, np.int32)
    negative = np.where(beyond == 3, -1, beyond).astype(np.int32)
    inside = np.where(beyond == 3, 2, beyond).astype(np.int32)
    fits = call(name, indices=inside, validate_indices=True, **inputs)
    assert np.array_equal(call(name, indices=inside, validate_indices=False, **inputs), fits)
    assert np.array_equal(call(name, indices=negative, **inputs), fits)
    for wrong, index in ((beyond, "3"), (negative, "-1")):
        with pytest.raises(InputError, match=rf"index {index} is outside of 0 \.\. 2$"):
            call(name, indices=wrong, validate_indices=True, **inputs)
        with pytest.raises(UnsupportedError, match=rf"index {index} is outside of 0 \.\. 2, .* undefined"):
            call(name, indices=wrong, validate_indices=False, **inputs)
    with pytest.raises(InputError, match=r"index 3 is outside of -3 \.\. 2"):
        call(name, indices=beyond, **inputs)
