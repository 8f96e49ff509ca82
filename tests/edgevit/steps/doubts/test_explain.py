"""What a file says of its input, against what it was fed."""

from __future__ import annotations

from dataclasses import replace

from edgevit.core.runner import Contents
from edgevit.core.types import Preprocess
from edgevit.steps.doubts.explain import other_pixels

MODEL = Preprocess(32, 32, (36, 36), orient="exif")


def contents(preprocess: Preprocess | None) -> Contents:
    return Contents(preprocess, (), {}, (), 4, (), ())


def test_other_pixels_are_told_though_the_comparison_cannot_see_them() -> None:
    told = other_pixels(contents(replace(MODEL, orient="none", resize=(32, 32))), MODEL)
    assert (
        "resize (32, 32) instead of (36, 36), orient none instead of exif" in told and "`edgevit run`" in told
    )
    assert other_pixels(contents(MODEL), MODEL) == ""
    assert other_pixels(contents(None), MODEL) == ""
    # of what comes after the pixels, the comparison says it by itself
    assert other_pixels(contents(replace(MODEL, mean=(0.5,) * 3, color="bgr")), MODEL) == ""
