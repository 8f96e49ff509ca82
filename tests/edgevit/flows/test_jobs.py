from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from edgevit.core.process.sandbox import Sandbox
from edgevit.flows import _jobs
from edgevit.flows.make_recipe import make


@dataclass(frozen=True, slots=True)
class Request:
    work: str


@pytest.mark.parametrize(
    ("model", "data_only", "sandboxed"),
    [
        ("net.pt2", False, True),
        ("hf:FOLDER", False, True),
        ("hf:someone/model", False, False),  # is downloaded
        ("timm:vit_tiny_patch16_224", False, False),
        ("python:net.py:build", False, False),  # the user's own code, with the user's rights
        ("python:net.py:build", True, True),  # what was converted is data
    ],
)
def test_steps_that_open_data_of_unknown_origin_run_in_a_sandbox(
    model: str, data_only: bool, sandboxed: bool, tmp_path: Path
) -> None:
    recipe = make({"model": model.replace("FOLDER", str(tmp_path))})
    job = _jobs.job("step", "m:f", Request("w"), recipe, 0, _jobs.silent, [tmp_path], data_only)
    assert job.limits.sandbox == (Sandbox((str(tmp_path),)) if sandboxed else None)
