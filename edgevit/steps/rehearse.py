"""The step of a dry run: everything up to the long stages, on two images of each kind. Runs in a worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgevit.core.plugins import Samples
from edgevit.core.progress import Emit, Stage
from edgevit.core.types import ModelSpec
from edgevit.steps import open, size_limits
from edgevit.steps.messages import PrepareRequest


@dataclass(frozen=True, slots=True)
class Listed:
    """Images of one role: how many there are, how many a run would read, and whether their classes are known."""

    path: str
    found: int
    used: int
    labelled: bool


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What a run would work on.

    Attributes:
        macs: of the exported graph, for one image.
        prune: a line for each layer that became smaller.
        left_out: target -> why it cannot hold the model.
        notes: what was done to the model before it was exported.
    """

    spec: ModelSpec
    macs: int
    calibrate: Listed | None
    evaluate: Listed | None
    prune: tuple[str, ...]
    left_out: Mapping[str, str]
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()


def rehearse(asked: PrepareRequest, emit: Emit) -> Rehearsed:
    """What a run would work on. Runs in a worker.

    Raises:
        EdgevitError: what a run would fail with, or what it would fail with later.
    """
    import numpy as np
    import torch

    from calibration.load import load_pixels
    from edgevit.core.pixels import normalise
    from edgevit.program.sites import total_macs
    from edgevit.steps.run_float import run_reference

    opened = open.open_all(asked, emit)
    model, left_out = opened.model, opened.left_out
    preprocess = model.spec.preprocess
    emit(Stage("reading two images of each kind"))
    samples = [s for s in (opened.calibrate, opened.evaluate) if s is not None]
    loaded = [
        load_pixels(
            s, preprocess, indices=sorted({0, len(s.names) - 1}), skip_bad=asked.recipe.skip_bad_images
        )
        for s in samples
    ]
    read = [some.pixels for some in loaded]
    pixels = (
        read[0]
        if read
        else np.full((1, preprocess.height, preprocess.width, preprocess.channels), 128, np.uint8)
    )
    for some in read or [pixels]:
        run_reference(model, some, emit)
    calibration = torch.from_numpy(normalise(read[0], preprocess)) if opened.calibrate is not None else None
    model, lines = open.prune(model, asked.recipe.prune, calibration, emit)
    if asked.recipe.prune:
        left_out = size_limits.too_large(model.spec, asked.float_limits, bool(asked.recipe.to))
    graph = open.export(model, asked, opened.given, left_out, emit)
    calibrate = _listed(opened.calibrate, asked.recipe.calibration_count)
    evaluate = _listed(opened.evaluate, asked.recipe.evaluate_count)
    warned = [w for s, some in zip(samples, loaded, strict=True) for w in (*s.warnings, *some.remarks)]
    return Rehearsed(
        spec=model.spec,
        macs=total_macs(graph),
        calibrate=calibrate,
        evaluate=evaluate,
        prune=lines,
        left_out=left_out,
        warnings=(*model.spec.warnings, *warned),
        notes=graph.notes,
    )


def _listed(samples: Samples | None, count: int | None) -> Listed | None:
    if samples is None:
        return None
    found = len(samples.names)
    return Listed(samples.path, found, min(found, count or found), samples.labels is not None)
