from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgevit.validate.gain import FALSE_ALARMS
from edgevit.validate.label_order import Order, find_order
from edgevit.validate.usual_orders import NOBODY, usual_orders

Classes = NDArray[np.int64]


def answers(labels: Classes, of: Classes, classes: int, known: float = 0.8) -> Classes:
    """Of a model that knows so many, whose answer for a label is `of[label]`."""
    rng = np.random.default_rng(3)
    return np.where(rng.random(len(labels)) < known, of[labels], rng.integers(0, classes, len(labels)))


def found(order: Order | None) -> Order:
    assert order is not None
    return order


def test_reverse_order_is_named_with_what_the_model_calls_the_labels() -> None:
    labels = np.arange(200) % 10
    answered = answers(labels, np.arange(10)[::-1], 10)
    order = found(find_order(answered, labels, 10))
    assert order.words == "in reverse order" and order.meaning == tuple(range(9, -1, -1))
    assert order.right == int((9 - answered == labels).sum())
    assert order.examples == ((0, 9), (1, 8), (2, 7))


def test_names_in_another_order_than_the_alphabet_and_a_model_that_was_trained_on_folders() -> None:
    names = ("truck", "cat", "dog", "bird", "frog", "ant")
    labels = np.arange(120) % 6
    place = np.array([sorted(names).index(name) for name in names])
    order = found(find_order(answers(labels, place, 6), labels, 6, names))
    assert order.words == "in alphabetical order"
    assert [names[index] for index in order.meaning] == sorted(names)


def test_folders_named_by_numbers_are_sorted_as_text() -> None:
    folders = sorted(str(number) for number in range(12))
    assert folders[:4] == ["0", "1", "10", "11"]
    labels = np.arange(240) % 12
    place = np.array([folders.index(str(label)) for label in range(12)])
    order = found(find_order(answers(labels, place, 12), labels, 12))
    assert order.words == "sorted as text, not as numbers (0, 1, 10, 11, 2)"
    assert order.meaning == tuple(int(folder) for folder in folders)


def test_a_background_class_shifts_by_one() -> None:
    labels = np.arange(400) % 100
    order = found(find_order(answers(labels, np.arange(1, 102), 101), labels, 101))
    assert "background" in order.words and order.meaning[:3] == (NOBODY, 0, 1)


def test_any_other_order_is_found_on_one_half_and_judged_on_the_other() -> None:
    of = np.array([4, 6, 2, 1, 9, 5, 0, 8, 7, 3])
    labels = np.arange(300) % 10
    answered = answers(labels, of, 10)
    order = found(find_order(answered, labels, 10))
    assert order.words == "in another order" and order.meaning == tuple(np.argsort(of).tolist())
    assert order.right == int((answered == of[labels]).sum())


def test_two_labels_that_were_exchanged_among_many() -> None:
    of = np.arange(50)
    of[[3, 7]] = 7, 3
    labels = np.arange(2000) % 50
    order = found(find_order(answers(labels, of, 50), labels, 50))
    assert order.words == "in another order (2 of 50 exchanged)" and order.examples == ((3, 7), (7, 3))


@pytest.mark.parametrize(("classes", "images"), [(2, 30), (10, 16), (10, 200), (100, 300)])
@pytest.mark.parametrize("known", [0.0, 0.5])
def test_the_right_order_is_seldom_doubted(classes: int, images: int, known: float) -> None:
    rng = np.random.default_rng(classes + images)
    alarms = 0
    for _ in range(100):
        labels = rng.integers(0, classes, images)
        guesses = rng.integers(0, classes, images)
        answered = np.where(rng.random(images) < known, labels, guesses)
        alarms += (
            find_order(answered, labels, classes, tuple(f"name {i}" for i in range(classes))) is not None
        )
    assert alarms <= 100 * FALSE_ALARMS


def test_the_best_of_all_assignments_looks_good_and_is_not_believed() -> None:
    """On the images it was fitted on, it makes many more right than the given order."""
    from scipy.optimize import linear_sum_assignment

    rng = np.random.default_rng(0)
    labels, guesses = rng.integers(0, 20, 60), rng.integers(0, 20, 60)
    table = np.zeros((20, 20))
    np.add.at(table, (labels, guesses), 1)
    best = table[linear_sum_assignment(table, maximize=True)].sum()
    assert best > 3 * (labels == guesses).sum()
    assert find_order(guesses, labels, 20) is None


def test_orders_that_come_out_the_same_are_tried_once() -> None:
    orders = usual_orders(3, ("a", "b", "c"))
    assert [words for words in orders if "alphabetical" in words or "text" in words] == []
    assert len(set(orders.values())) == len(orders) == 3
