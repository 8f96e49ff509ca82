"""What another filter of the resize costs: apps rarely have Pillow's, and the report says how much that matters."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from edgevit.core.outputs import OutputKind
from edgevit.core.plugins import Samples
from edgevit.core.results.report import OtherResize
from edgevit.core.types import TorchModel
from edgevit.steps.run_float import run_float

if TYPE_CHECKING:
    from edgevit.core.types import Floats

IMAGES: Final = 32


def other_resize(
    samples: Samples, model: TorchModel, kind: OutputKind, count: int | None
) -> OtherResize | None:
    """The float model on a few images resized bilinearly, against itself with its own filter.

    A model that is fed bilinearly is tried with the bicubic filter. Pillow computes both, without aliasing.

    Args:
        kind: of the first output.
        count: how many images there are to choose from; None for all.

    Returns:
        None where the filter makes no difference, since no image is resized.
    """
    import numpy as np

    from calibration.load import evenly, load_pixels
    from edgevit.registries import METRICS
    from edgevit.validate.accuracy import measure_accuracy

    own = model.spec.preprocess
    other = replace(own, interpolation="bicubic" if own.interpolation == "bilinear" else "bilinear")
    among = evenly(len(samples.names), count)
    indices = [among[index] for index in evenly(len(among), IMAGES)]
    first, second = (load_pixels(samples, p, indices=indices, skip_bad=True).pixels for p in (own, other))
    if first.shape != second.shape or np.array_equal(first, second):
        return None

    def outputs(pixels: np.ndarray) -> Floats:
        return next(iter(run_float(model, pixels).values()))

    before, after = outputs(first), outputs(second)
    return OtherResize(
        interpolation=other.interpolation,
        n=len(first),
        sqnr_db=METRICS.get("sqnr").compute(before, after, None),
        agreement=measure_accuracy(before, after, None, kind).agreement if kind.decides else None,
    )
