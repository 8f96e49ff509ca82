"""Why a file is so far from its model: other input values than those it was given?

Files of other tools often carry their normalisation inside, or want BGR. Whoever feeds them the model's own
input gets answers that look plausible and are wrong. A few images through the usual alternatives show it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from edgevit.core.pixels import in_rgb
from edgevit.core.precisions import Precision
from edgevit.core.runner import Contents
from edgevit.core.types import Preprocess
from edgevit.steps.doubts.alternatives import alternatives

if TYPE_CHECKING:
    from edgevit.core.types import Pixels

IMAGES: Final = 4
# What a file should have against its model before anybody asks why; of what another input makes equal.
_WANTED_DB: Final[Mapping[Precision, float]] = {Precision.FP32: 80.0, Precision.FP16: 40.0}
_QUANTIZED_DB: Final = 20.0
_FOUND_DB: Final = 15.0
_GAIN_DB: Final = 10.0
_FIELDS: Final = ("color", "mean", "std", "resize", "shorter_side", "interpolation", "orient", "border")

# How an image file becomes pixels, before any file is fed: what a comparison on the same pixels cannot see.
_BEFORE_PIXELS: Final = ("resize", "shorter_side", "interpolation", "orient", "border")

# Preprocess, uint8 pixels (N, height, width, 3) -> SQNR of the file against the model, in dB
Sqnr = Callable[[Preprocess, "Pixels"], float]


def explain(precision: Precision, contents: Contents, given: Preprocess, sqnr: Sqnr, pixels: Pixels) -> str:
    """One sentence that names what the file's input should be; "" where it is near its model, or nothing helps.

    Args:
        given: what the file was fed, unless it carries its own.
        pixels: of which the first few are tried.
    """
    few = pixels[:IMAGES]
    had = sqnr(given, few)
    if had >= _WANTED_DB.get(precision, _QUANTIZED_DB):
        return ""
    if contents.preprocess is not None:
        return _own(contents.preprocess, given)
    others = alternatives(given, "--file-preprocess", turned=True)
    found = {flags: sqnr(other, few) for flags, other in others.items()}
    best = max(found, key=lambda flags: found[flags], default=())
    if not best or found[best] < max(_FOUND_DB, had + _GAIN_DB):
        return ""
    return (
        f"the file expects another input than the model: it has {found[best]:.1f} dB against the model with "
        f"{' '.join(best)}, and {had:.1f} dB without, on {len(few)} images"
    )


def other_pixels(contents: Contents, reference: Preprocess) -> str:
    """One sentence where a file's own preprocessing makes other pixels of an image file than the model's; else ""."""
    if contents.preprocess is None or not (differ := _differ(contents.preprocess, reference, _BEFORE_PIXELS)):
        return ""
    return (
        f"The file's own preprocessing differs from the model's: {differ}. It was measured on the model's pixels, so "
        "`edgevit run` and apps that follow the file give other results than those measured here."
    )


def _own(own: Preprocess, reference: Preprocess) -> str:
    differ = _differ(own, reference, _FIELDS)
    return f"the file's preprocessing differs from the model's: {differ}" if differ else ""


def _differ(own: Preprocess, reference: Preprocess, fields: tuple[str, ...]) -> str:
    own, reference = in_rgb(own), in_rgb(reference)  # a file may take another order than its model
    return ", ".join(
        f"{name} {getattr(own, name)} instead of {getattr(reference, name)}"
        for name in fields
        if getattr(own, name) != getattr(reference, name)
    )
