"""The demo's own images: `demo` or `demo:evaluation` (test split), `demo:calibration` (training split)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from calibration.samples._arrays import read_npz, survey_npz
from edgevit.core.assets import demo_asset
from edgevit.core.errors import UsageError, nearest
from edgevit.core.labels import read_labels
from edgevit.core.plugins import Samples, SampleSource, Survey

_SPLITS = ("calibration", "evaluation")


def accepts(text: str) -> bool:
    """`demo` with or without a split."""
    return text.partition(":")[0] == "demo"


def survey(text: str) -> Survey:
    """Of a split; its labels count only for a model with the demo's classes, which is known later.

    Raises:
        UsageError: an unknown split.
    """
    return survey_npz(demo_asset(f"{_split(text)}.npz"), text)


def open_demo(text: str, labels: tuple[str, ...]) -> Samples:
    """Open a split. Its labels count only for a model with exactly the demo's classes, in any order.

    Raises:
        UsageError: an unknown split.
    """
    own = read_labels(demo_asset("labels.txt"))
    samples = read_npz(demo_asset(f"{_split(text)}.npz"), text, own)
    if samples.labels is not None and sorted(labels) == sorted(own):
        return replace(samples, labels=tuple(labels.index(own[index]) for index in samples.labels))
    warning = f"{text}: the model's labels are not the demo's, so its images count as unlabelled"
    return replace(samples, labels=None, warnings=(warning,))


def _split(text: str) -> str:
    split = text.partition(":")[2] or "evaluation"
    if split not in _SPLITS:
        raise UsageError(f"the demo has no images {split!r}", nearest(split, _SPLITS))
    return split


SAMPLES: Final = SampleSource(
    summary="the demo's images; demo:calibration or demo:evaluation",
    accepts=accepts,
    survey=survey,
    open=open_demo,
)
