"""The demo's own images: `demo:evaluation` (test split), `demo:calibration` (training split), `demo` by role."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from calibration.samples._arrays import read_npz, survey_npz
from edgevit.core.assets import demo_asset
from edgevit.core.errors import UsageError, nearest
from edgevit.core.plugins import Head, Role, Samples, SampleSource, Survey
from edgevit.formats.labels import read_labels

_SPLITS: Final[dict[Role, str]] = {"calibrate": "calibration", "evaluate": "evaluation"}


def accepts(text: str) -> bool:
    """`demo` with or without a split."""
    return text.partition(":")[0] == "demo"


def survey(text: str, role: Role) -> Survey:
    """Of a split; its labels count only for a model with the demo's classes, which is known later.

    Raises:
        UsageError: an unknown split.
    """
    return survey_npz(demo_asset(f"{_split(text, role)}.npz"), text)


def open_demo(text: str, head: Head, role: Role) -> Samples:
    """Open a split. Its labels count only for a model with exactly the demo's classes, in any order.

    Raises:
        UsageError: an unknown split.
    """
    own = read_labels(demo_asset("labels.txt"))
    split = _split(text, role)
    samples = read_npz(demo_asset(f"{split}.npz"), f"demo:{split}", Head(own, len(own)))
    if samples.labels is not None and sorted(head.labels) == sorted(own):
        return replace(samples, labels=tuple(head.labels.index(own[index]) for index in samples.labels))
    warning = f"demo:{split}: the model's labels are not the demo's, so its images count as unlabelled"
    return replace(samples, labels=None, warnings=(warning,))


def _split(text: str, role: Role) -> str:
    split = text.partition(":")[2] or _SPLITS[role]
    if split not in _SPLITS.values():
        raise UsageError(f"the demo has no images {split!r}", nearest(split, _SPLITS.values()))
    return split


SAMPLES: Final = SampleSource(
    summary="the demo's images; demo:calibration or demo:evaluation",
    accepts=accepts,
    survey=survey,
    open=open_demo,
)
