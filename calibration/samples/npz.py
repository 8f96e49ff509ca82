"""A `.npz` file with `images` and, where known, `labels`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from calibration.samples._arrays import read_npz, survey_npz
from edgevit.core.plugins import Head, Role, Samples, SampleSource, Survey


def accepts(text: str) -> bool:
    """Any text that ends in .npz."""
    return text.endswith(".npz")


def survey(text: str, role: Role) -> Survey:
    """From the headers of the arrays; see `survey_npz`."""
    return survey_npz(Path(text), text)


def open_npz(text: str, head: Head, role: Role) -> Samples:
    """Read the arrays; see `read_npz`."""
    return read_npz(Path(text), text, head)


SAMPLES: Final = SampleSource(
    summary="FILE.npz with `images` (N, height, width, channels uint8) and optionally `labels`",
    accepts=accepts,
    survey=survey,
    open=open_npz,
)
