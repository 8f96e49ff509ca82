"""Slices: the exact sign test by hand, found where one was broken, and seldom where none was."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from edgevit.validate.gate.accuracy import Compared
from edgevit.validate.gate.sides import Seen
from edgevit.validate.gate.slices import half, sign_p, slice_checks, slices_of

N, CLASSES = 2000, 20
RANDOM = np.random.default_rng(0)
LABELS = np.sort(RANDOM.integers(0, CLASSES, N))
NAMES = tuple(f"cam{i % 3}/class{label}/{i}.jpg" for i, label in enumerate(LABELS))
SEEN = Seen(NAMES, LABELS, None)
WORDS = tuple(f"c{i}" for i in range(CLASSES))


def compared(before: np.ndarray, now: np.ndarray, margin: float = 1.0) -> Compared:
    return Compared("onnx/w8a8", "accuracy", before, now, margin, False)


def test_the_sign_test_is_that_of_scipy() -> None:
    for lost, gained in ((0, 0), (1, 0), (5, 5), (9, 1), (30, 12)):
        wanted = stats.binomtest(lost, lost + gained, alternative="greater").pvalue if lost + gained else 1.0
        assert sign_p(lost, gained) == pytest.approx(wanted)


def test_classes_and_folders_at_any_depth_each_once() -> None:
    found = {(part.by, part.name): part.members for part in slices_of(SEEN, WORDS)}
    assert {name for by, name in found if by == "class"} == set(WORDS)
    assert {"cam0", "cam1", "cam2"} <= {name for by, name in found if by == "folder"}
    assert np.array_equal(found["class", "c3"], np.flatnonzero(LABELS == 3))
    alone = Seen(tuple(f"class{label}/{i}" for i, label in enumerate(LABELS)), LABELS, None)
    assert all(part.by == "class" for part in slices_of(alone, WORDS))  # the folders are the classes


def test_the_halves_follow_from_the_names_alone() -> None:
    mask = half(NAMES)
    assert 0.45 < mask.mean() < 0.55 and np.array_equal(mask[::-1], half(NAMES[::-1]))


def test_a_broken_folder_is_found_across_classes() -> None:
    before = np.ones(N, bool)
    in_folder = np.array([name.startswith("cam1/") for name in NAMES])
    now = before & ~(in_folder & (RANDOM.random(N) < 0.2))
    (found,) = (
        check for check in slice_checks([compared(before, now)], SEEN, WORDS) if "cam1'" in check.reason
    )
    assert found.kind == "slice" and found.outcome == "regressed" and found.n == int(in_folder.sum())


def test_nothing_is_found_where_images_change_at_random() -> None:
    """100 changes of 5 % each: slices have one fifth of the 5 % for false alarms."""
    alarms = 0
    for _ in range(100):
        before = RANDOM.random(N) < 0.8
        draw = RANDOM.random(N)  # 2.5 % of the images are lost, as many gained
        now = np.where(before, draw >= 0.025 / 0.8, draw < 0.025 / 0.2)
        alarms += bool(tuple(slice_checks([compared(before, now)], SEEN, WORDS)))
    assert alarms / 100 <= 0.01 + 3 * (0.01 * 0.99 / 100) ** 0.5


def test_a_drop_that_is_allowed_everywhere_is_no_finding() -> None:
    """2 points everywhere, with a limit of 3: every folder lost images, and none more than it may."""
    before = np.ones(N, bool)
    now = RANDOM.random(N) < 0.98
    assert not tuple(slice_checks([compared(before, now, 3.0)], SEEN, WORDS))
