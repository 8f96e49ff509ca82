from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from edgevit.validate.chance import guessing, standing


def test_mean_and_spread_are_those_of_all_ways_to_deal_the_answers_out() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    answers = np.array([0, 0, 1, 1, 1, 1, 2, 0])
    deals = np.array(list(itertools.permutations(answers)))
    right = (deals == labels).sum(axis=1) / 8
    found = guessing(answers, labels, 3)
    assert found.expected == pytest.approx(right.mean())
    assert found.high == pytest.approx(right.mean() + 1.959964 * right.std(), abs=1e-6)


def test_two_classes_are_dealt_out_as_the_hypergeometric_distribution_says() -> None:
    n, shown, answered = 50, 8, 20
    labels, answers = (np.arange(n) < shown).astype(np.int64), (np.arange(n) < answered).astype(np.int64)
    both = stats.hypergeom(n, shown, answered)
    # right: both are 1, or both are 0
    mean, deviation = 1 - (shown + answered - 2 * both.mean()) / n, 2 * both.std() / n
    found = guessing(answers, labels, 2)
    assert found.expected == pytest.approx(mean)
    assert found.low == pytest.approx(mean - 1.959964 * deviation, abs=1e-6)


def test_always_the_most_frequent_label_is_guessing_however_often_it_is_right() -> None:
    labels = (np.arange(200) < 20).astype(np.int64)
    constant = np.zeros(200, np.int64)
    found = guessing(constant, labels, 2)
    assert found.expected == found.high == 0.9
    assert standing(180, 200, found) == "not above"


def test_the_best_constant_answer_may_be_right_more_often_than_a_model_that_knows_something() -> None:
    labels = (np.arange(200) < 20).astype(np.int64)
    answers = (np.arange(200) < 60).astype(np.int64)  # every rare one, and 40 false alarms
    found = guessing(answers, labels, 2)
    assert standing(160, 200, found) == "above"


def test_images_of_one_class_are_held_against_one_class_in_so_many() -> None:
    labels, answers = np.zeros(200, np.int64), np.zeros(200, np.int64)
    found = guessing(answers, labels, 10)
    assert found.expected == 0.1
    assert found.high == pytest.approx(0.1 + 1.959964 * math.sqrt(0.1 * 0.9 / 200), abs=1e-6)
    assert standing(200, 200, found) == "above" and standing(0, 200, found) == "not above"


@pytest.mark.parametrize(
    ("right", "n", "classes", "expected"),
    [(2, 4, 2, "undecided"), (0, 4, 2, "undecided"), (7, 8, 10, "above"), (0, 8, 10, "not above")],
)
def test_few_images(right: int, n: int, classes: int, expected: str) -> None:
    labels = np.arange(n) % classes
    answers = np.where(np.arange(n) < right, labels, (labels + 1) % classes)
    assert standing(right, n, guessing(answers, labels, classes)) == expected


def test_who_guesses_seldom_counts_as_knowing_and_who_knows_never_as_guessing() -> None:
    rng = np.random.default_rng(0)
    above = wrong = 0
    for _ in range(400):
        labels, guesses = rng.integers(0, 10, 300), rng.integers(0, 10, 300)
        known = np.where(rng.random(300) < 0.3, labels, guesses)
        above += standing(int((guesses == labels).sum()), 300, guessing(guesses, labels, 10)) == "above"
        wrong += standing(int((known == labels).sum()), 300, guessing(known, labels, 10)) != "above"
    assert above <= 400 * 0.05 and wrong == 0


def test_impossible_input() -> None:
    with pytest.raises(ValueError, match="0 labels"):
        guessing(np.zeros(0, np.int64), np.zeros(0, np.int64), 2)
    with pytest.raises(ValueError, match="none of the 2 classes"):
        guessing(np.array([2]), np.array([0]), 2)
