"""From a recipe to what the preparing worker is asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.results.report import Limits
from edgevit.core.settings.recipe import Recipe, settings_to_remember
from edgevit.steps.messages import PrepareRequest


def prepare_request(
    recipe: Recipe,
    work: Path,
    backends: tuple[BackendCapabilities, ...],
    scan_float16: bool = False,
    float_limits: Mapping[str, int | None] | None = None,
) -> PrepareRequest:
    """The recipe as plain data, with absolute paths, since a worker may stand elsewhere."""
    limits = Limits(recipe.max_drop, recipe.min_agreement, recipe.min_sqnr)
    return PrepareRequest(
        work=str(work),
        model=recipe.model,
        weights=None if recipe.weights is None else str(recipe.weights.absolute()),
        weights_key=recipe.weights_key,
        random_weights=recipe.random_weights,
        num_classes=recipe.num_classes,
        image_size=recipe.image_size,
        model_args=dict(recipe.model_arg),
        preprocess=dict(recipe.preprocess),
        labels=_label_files(recipe),
        calibrate=recipe.calibrate,
        calibration_count=recipe.calibration_count,
        evaluate=recipe.evaluate,
        evaluate_count=recipe.evaluate_count,
        skip_bad_images=recipe.skip_bad_images,
        prune=recipe.prune,
        without=recipe.without,
        seed=recipe.seed,
        backends=backends,
        scan_float16=scan_float16,
        float_limits=dict(float_limits or {}),
        targets_named=bool(recipe.to),
        plan=None if recipe.plan is None else str(recipe.plan.absolute()),
        reconstruct=recipe.reconstruct,
        limits=limits,
        auto_float=limits if recipe.auto_float else None,
        settings=json.dumps(settings_to_remember(recipe)),
    )


def _label_files(recipe: Recipe) -> Mapping[str, str]:
    """Output -> file of its class names; "" for the first output."""
    given = recipe.labels
    files = given if isinstance(given, Mapping) else {} if given is None else {"": given}
    return {head: str(file.absolute()) for head, file in files.items()}
