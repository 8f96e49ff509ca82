"""A classifier of colours whose weights are worked out by hand, used rightly and wrongly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgevit.core.outputs import LOGITS
from edgevit.core.pixels import normalise
from edgevit.core.progress import Event, Warn
from edgevit.core.results.report import Doubt
from edgevit.core.types import ModelSpec, Preprocess, TensorSpec, TorchModel
from edgevit.steps.doubts.diagnose import Diagnosis, diagnose
from edgevit.steps.doubts.probe_preprocess import Alternative, probe
from edgevit.steps.run_float import run_float

NAMES = ("red", "orange", "blue", "black", "dark", "light", "white")
COLOURS = np.array([[190, 60, 60], [190, 130, 60], [60, 60, 190], *([[v] * 3 for v in (30, 90, 150, 210)])])
Classes = NDArray[np.int64]


class NearestColour(torch.nn.Module):
    """Scores are minus the squared distance of the mean colour to each class, without what all have in common."""

    def __init__(self, trained_with: Preprocess) -> None:
        super().__init__()
        spots = np.repeat(np.repeat(COLOURS.astype(np.uint8)[:, None, None], 2, 1), 2, 2)
        centres = torch.from_numpy(normalise(spots, trained_with)).mean((2, 3))
        self.head = torch.nn.Linear(3, len(COLOURS))
        with torch.no_grad():
            self.head.weight.copy_(2 * centres)
            self.head.bias.copy_(-(centres**2).sum(1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(image.mean((2, 3)))
        return found


def images(count: int = 210) -> tuple[NDArray[np.uint8], Classes]:
    """Images around the colour of each class in turn, with so much noise that some are mistaken."""
    rng = np.random.default_rng(5)
    labels = np.arange(count) % len(COLOURS)
    means = COLOURS[labels] + rng.normal(0, 20, (count, 3))
    pixels = means[:, None, None] + rng.normal(0, 20, (count, 4, 4, 3))
    return pixels.clip(0, 255).astype(np.uint8), labels


def diagnosed(
    trained: dict[str, Any], used: dict[str, Any], labels_of: Classes | None = None, count: int = 210
) -> tuple[Diagnosis, list[str]]:
    """`labels_of`: the index under which each class stands in the labels."""
    pixels, labels = images(count)
    if labels_of is not None:
        labels = labels_of[labels]
    module = NearestColour(replace(Preprocess(4, 4, (4, 4)), **trained)).eval()
    outputs = (TensorSpec("logits", (1, len(NAMES)), "float32"),)
    spec = ModelSpec(
        "colours", "python:colours", replace(Preprocess(4, 4, (4, 4)), **used), outputs, NAMES, "", 0
    )
    model, told = TorchModel(spec, module), []

    def emit(event: Event) -> None:
        told.extend([event.text] if isinstance(event, Warn) else [])

    scores = run_float(model, pixels)["logits"]
    return diagnose(model, LOGITS, scores, pixels, labels, emit), told


HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
UNIT = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
REVERSED = np.arange(7)[::-1].copy()


def kinds(found: Diagnosis) -> list[str]:
    return [doubt.kind for doubt in found.doubts]


def only(found: Diagnosis) -> Doubt:
    (doubt,) = found.doubts
    return doubt


def test_used_as_it_was_trained_nothing_is_said() -> None:
    for way in ({}, HALF, UNIT, {**UNIT, "color": "bgr"}):
        assert diagnosed(way, way) == (Diagnosis(), [])


def test_swapped_colours_name_the_flag_and_both_accuracies() -> None:
    found, told = diagnosed({}, {"color": "bgr"})
    doubt = only(found)
    assert doubt.kind == "preprocessing" and doubt.flags == ("--preprocess color=rgb",)
    assert told == [doubt.text] and "--preprocess color=rgb" in doubt.text
    # right: the four without colour; red and blue are taken for each other, which looks like exchanged labels
    assert 100 * 3.9 / 7 < doubt.top1 < 100 * 4.1 / 7
    assert doubt.alternative_top1 is not None and doubt.alternative_top1 > 95
    assert doubt.alternative_ci95 is not None and doubt.top1_ci95[1] < doubt.alternative_ci95[0]


def test_another_normalisation_names_it() -> None:
    assert only(diagnosed(HALF, {})[0]).flags == ("--preprocess normalize=-1..1",)
    assert only(diagnosed({}, HALF)[0]).flags == ("--preprocess normalize=imagenet",)
    assert only(diagnosed({}, {**HALF, "color": "bgr"})[0]).flags == (
        "--preprocess color=rgb",
        "--preprocess normalize=imagenet",
    )


def test_at_chance_with_the_wrong_range_the_right_one_explains_it() -> None:
    found, _ = diagnosed(UNIT, {"mean": (0.0, 0.0, 0.0), "std": (1 / 255, 1 / 255, 1 / 255)})
    assert kinds(found) == ["no-better-than-guessing", "preprocessing"]
    assert found.doubts[1].flags == ("--preprocess normalize=0..1",)
    assert "no better than guessing" in found.doubts[0].text and "Usual reasons" not in found.doubts[0].text


def test_reversed_labels_know_nothing_and_are_recognised() -> None:
    found, told = diagnosed({}, {}, REVERSED)
    assert kinds(found) == ["no-better-than-guessing", "label-order"] and len(told) == 2
    order = found.doubts[1]
    assert (
        "in reverse order" in order.text
        and "the model answers 'white' where the label is 'red'" in order.text
    )
    assert order.flags == ("--labels FILE",) and order.top1 < 25 and (order.alternative_top1 or 0) > 85


def test_reversed_labels_and_another_normalisation_are_both_found() -> None:
    found, _ = diagnosed({}, HALF, REVERSED)
    assert kinds(found) == ["no-better-than-guessing", "label-order", "preprocessing"]
    assert found.doubts[-1].flags == ("--preprocess normalize=imagenet",)
    assert "with the labels in reverse order" in found.doubts[-1].text


def test_a_model_that_gives_one_answer_to_everything_has_the_usual_reasons() -> None:
    pixels, labels = images()
    module = NearestColour(Preprocess(4, 4, (4, 4))).eval()
    with torch.no_grad():
        module.head.weight.zero_()
    outputs = (TensorSpec("logits", (1, 7), "float32"),)
    model = TorchModel(ModelSpec("c", "python:c", Preprocess(4, 4, (4, 4)), outputs, NAMES, "", 0), module)
    scores = run_float(model, pixels)["logits"]
    doubt = only(diagnose(model, LOGITS, scores, pixels, labels, lambda event: None))
    assert doubt.kind == "no-better-than-guessing" and doubt.top1 == 100 / 7
    for words in ("14.29 %", "no file can pass", "--labels", "--preprocess", "--weights"):
        assert words in doubt.text


def test_few_images_raise_no_alarm() -> None:
    found, _ = diagnosed({}, {"color": "bgr"}, count=4)
    assert found.doubts == () and "too few to tell" in "".join(found.warnings)


def test_random_models_are_seldom_told_that_another_preprocessing_is_better() -> None:
    rng = np.random.default_rng(7)
    pixels = rng.integers(0, 256, (64, 2, 2, 3), np.uint8)
    found: list[Alternative | None] = []
    for _ in range(200):
        labels = rng.integers(0, 4, 64)

        def scores(_: Preprocess, some: NDArray[np.uint8]) -> NDArray[np.float64]:
            return rng.random((len(some), 4))

        right = rng.integers(0, 4, 64) == labels
        found.append(probe(scores, pixels, labels, right, Preprocess(2, 2, (2, 2))))
    assert sum(one is not None for one in found) <= 200 * 0.025


def test_grey_images_have_no_order_of_colours_and_outputs_that_overflow_are_wrong() -> None:
    given = Preprocess(2, 2, (2, 2))
    grey = np.full((64, 2, 2, 3), 9, np.uint8)
    labels, seen = np.zeros(64, np.int64), []

    def scores(preprocess: Preprocess, some: NDArray[np.uint8]) -> NDArray[np.float64]:
        seen.append(preprocess)
        return np.full((len(some), 3), np.nan)

    assert probe(scores, grey, labels, np.zeros(64, bool), given) is None
    assert {one.color for one in seen} == {"rgb"}
