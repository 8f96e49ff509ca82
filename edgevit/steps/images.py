"""The images of a conversion: those that it is calibrated with, and those that its files are judged on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from edgevit.core.plugins import Head, Samples
from edgevit.core.progress import Advance, Emit, Stage
from edgevit.core.types import Preprocess
from edgevit.steps.messages import PrepareRequest
from edgevit.steps.open import Opened
from edgevit.steps.samples import SYNTHETIC, ReadImages, open_samples, read_opened

if TYPE_CHECKING:
    import torch

    from edgevit.core.types import Pixels

CALIBRATION: Final = "calibration"


@dataclass(frozen=True, slots=True)
class Images:
    """All that a conversion reads, resized and cropped.

    Attributes:
        calibrate: those of `--calibrate`; None without.
        evaluate: those of `--evaluate`; without it the calibration images, or else synthetic ones, both taken
            for images of unknown classes.
        calibration: `calibrate` normalised, float32 (N, channels, height, width).
    """

    calibrate: ReadImages | None
    evaluate: ReadImages
    calibration: torch.Tensor | None

    @property
    def judged(self) -> ReadImages:
        """What the float model and the files are compared on."""
        if self.evaluate.described is not None or self.calibrate is None:
            return self.evaluate
        return self.calibrate

    def inputs(self, count: int, preprocess: Preprocess) -> torch.Tensor:
        """The first `count` of those, normalised, float32 (count, channels, height, width)."""
        if self.judged is self.calibrate and self.calibration is not None:
            return self.calibration[:count]
        return _normalised(self.judged.pixels[:count], preprocess)


def read_images(asked: PrepareRequest, opened: Opened, emit: Emit) -> Images:
    """Read the images of both roles, and warn of those that look as if they were not what they should be.

    Raises:
        InputError: one of them cannot be read.
    """
    from calibration.suspicious import doubts

    spec = opened.model.spec
    static = any(kind.input is not None for p in asked.backends for kind in p.kinds)

    def read(samples: Samples, count: int | None, role: str) -> ReadImages:
        emit(Stage(f"reading {role} images"))
        found = read_opened(
            samples, spec.preprocess, count, asked.recipe.skip_bad_images, lambda n: emit(Advance(n))
        )
        ranges = role == CALIBRATION and static and asked.recipe.plan is None
        if samples.path == SYNTHETIC:
            return found
        doubted = doubts(found.pixels, found.labels, spec.labels, role, ranges)
        return replace(found, warnings=(*found.warnings, *doubted))

    calibrate = calibration = None
    if opened.calibrate is not None:
        calibrate = read(opened.calibrate, asked.recipe.calibration_count, CALIBRATION)
        calibration = _normalised(calibrate.pixels, spec.preprocess)
    if opened.evaluate is not None:
        return Images(
            calibrate, read(opened.evaluate, asked.recipe.evaluate_count, "evaluation"), calibration
        )
    if calibrate is not None:
        return Images(calibrate, ReadImages(calibrate.pixels, None, None), calibration)
    synthetic = read(
        open_samples(SYNTHETIC, Head(channels=spec.preprocess.channels), "evaluate"), None, "synthetic"
    )
    return Images(None, replace(synthetic, labels=None, described=None), None)


def _normalised(pixels: Pixels, preprocess: Preprocess) -> torch.Tensor:
    import torch

    from edgevit.core.pixels import normalise

    return torch.from_numpy(normalise(pixels, preprocess))
