"""Limits that no verdict on these images could decide, told before anything is loaded."""

from __future__ import annotations

import math

from edgevit.core.errors import UsageError
from edgevit.core.settings.recipe import Recipe
from edgevit.steps.samples import survey_samples


def check_limits(recipe: Recipe) -> None:
    """Raise UsageError for a limit on top-1 without the images that it takes.

    A drop is held against the upper end of its interval. Even a file that answers every image as the float
    model does has an upper end above 0, which shrinks with the number of images.
    """
    asked = [
        f"--{name} {value:g}"
        for name, value in (("max-drop", recipe.max_drop), ("min-agreement", recipe.min_agreement))
        if value is not None
    ]
    if not asked:
        return
    if recipe.evaluate is None:
        kind = "images" if recipe.max_drop is None else "labelled images"
        raise UsageError(
            f"{' and '.join(asked)} cannot be decided without {kind} to judge the files on",
            "add --evaluate SAMPLES: a folder of class folders, a .npz, or demo",
        )
    if recipe.max_drop is not None:
        _check_drop(recipe.evaluate, recipe.evaluate_count, recipe.max_drop)


def refuse_unjudged(recipe: Recipe) -> None:
    """Raise UsageError for a limit on a plan alone: no file is executed that it could be held against."""
    limits = {
        "--max-drop": recipe.max_drop,
        "--min-agreement": recipe.min_agreement,
        "--min-sqnr": recipe.min_sqnr,
    }
    given = [f"{flag} {value:g}" for flag, value in limits.items() if value is not None]
    if given and not recipe.auto_float:
        raise UsageError(
            f"{' and '.join(given)} would not be checked: quantize makes the plan and executes no file",
            "add --auto-float, which plans until the limits hold, or give them to edgevit convert",
        )


def check_held_out(recipe: Recipe) -> None:
    """Raise UsageError where `--auto-float` has too few calibration images, or a drop without their labels."""
    from edgevit.core.results.report import Limits
    from edgevit.steps.planning.auto_float import hold_out

    assert recipe.calibrate is not None, "checked before"
    found = survey_samples(recipe.calibrate, "calibrate")
    limits = Limits(recipe.max_drop, recipe.min_agreement, recipe.min_sqnr)
    hold_out(min(found.images, recipe.calibration_count), found.labelled, limits)


def check_enough_to_tune(recipe: Recipe) -> None:
    """Raise UsageError where `--reconstruct` has too few calibration images."""
    from edgevit.quant.reconstruct import FEWEST

    assert recipe.calibrate is not None, "checked before"
    if min(survey_samples(recipe.calibrate, "calibrate").images, recipe.calibration_count) < 2 * FEWEST:
        raise too_few_to_tune(2 * FEWEST)


def too_few_to_tune(needed: int) -> UsageError:
    """Half of the images that blocks are tuned on train nothing."""
    return UsageError(
        f"--reconstruct needs {needed} calibration images, half of which train nothing",
        "give more: --calibrate SAMPLES, --calibration-count N",
    )


def _check_drop(text: str, count: int | None, limit: float) -> None:
    from edgevit.validate.statistics import images_needed, smallest_limit

    found = survey_samples(text, "evaluate")
    if not found.labelled:
        raise unlabelled(text, limit)
    number = min(found.images, count or found.images)
    needed = images_needed(limit / 100)
    if needed is None:
        raise UsageError(
            f"--max-drop {limit:g} cannot be shown on any number of images: even a file that answers all {number} of "
            f"them as the float model does may drop by up to {_above(smallest_limit(number)):g} points on others",
            f"give --max-drop {_above(smallest_limit(number)):g} or more",
        )
    if needed > number:
        reach = _above(smallest_limit(number))
        raise UsageError(
            f"--max-drop {limit:g} cannot be shown on {number} images: for a file that answers every one of them as "
            f"the float model does, at least {needed:,} are needed (one-sided 95 % bound); {number} images can show "
            f"{reach:g} points",
            f"give at least {needed:,} labelled images with --evaluate, or --max-drop {reach:g} or more",
        )


def unlabelled(text: str, limit: float) -> UsageError:
    """A drop in accuracy was limited on images without classes."""
    return UsageError(
        f"--max-drop {limit:g} needs labelled images, those of --evaluate {text} have no labels",
        "give a folder of class folders or a .npz with `labels`",
    )


def _above(fraction: float) -> float:
    """In percentage points with three digits, rounded up."""
    points = 100 * fraction
    step = 10.0 ** (math.floor(math.log10(points)) - 2)
    return float(f"{math.ceil(points / step) * step:.6g}")
