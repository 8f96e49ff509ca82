"""What every tool of the comparison gets: the same module, the same images, normalised the same way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench import real_models
from edgevit.core.pixels import normalise
from edgevit.core.types import ModelSpec
from edgevit.steps.samples import head_of, read_samples

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from edgevit.core.types import Floats, Pixels


@dataclass(frozen=True, slots=True)
class Given:
    """A model and its calibration images, float32 (N, 3, height, width)."""

    module: torch.nn.Module
    spec: ModelSpec
    calibration: Floats

    @property
    def image(self) -> torch.Tensor:
        """The first image, float32 (1, 3, height, width)."""
        import torch

        return torch.from_numpy(self.calibration[:1])

    def of(self, module: torch.nn.Module) -> Given:
        """The same for another module."""
        return replace(self, module=module)


def given(name: str, cache: Path, calibration: int) -> Given:
    """The model `name` of bench.real_models and the first `calibration` images of the demo's."""
    model = real_models.load(name, cache)
    pixels, _ = pixels_of(model.spec, "demo:calibration", calibration)
    return Given(model.module.eval(), model.spec, normalise(pixels, model.spec.preprocess))


def pixels_of(spec: ModelSpec, text: str, count: int) -> tuple[Pixels, NDArray[np.int64] | None]:
    """Images as the model takes them, uint8 (N, height, width, 3), and their classes."""
    images = read_samples(text, head_of(spec), spec.preprocess, count, False, lambda n: None)
    return images.pixels, images.labels
