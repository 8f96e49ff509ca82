"""What the agent must be told of a file, read by a worker."""

from __future__ import annotations

from pathlib import Path

from edgevit.core.settings.recipe import Recipe
from edgevit.core.types import Preprocess
from edgevit.flows import _jobs
from edgevit.flows._devices.measure import ToMeasure
from edgevit.registries import RUNTIMES
from edgevit.steps.device_file import Described, DescribeRequest, device_runtime


def describe(
    name: str, target: str, path: Path, fp32: str, recipe: Recipe, fed: Preprocess | None = None
) -> ToMeasure:
    """Read one file.

    Args:
        name: what answers call it; `fp32`, the float file that it is held against, "" for none.
        fed: preprocessing of a file that carries none; without it, one whose numbers mean nothing.

    Raises:
        UnsupportedError: no device executes files of this target.
        EdgevitError: the file cannot be read.
    """
    runtime = device_runtime(target)
    request = DescribeRequest(runtime, str(path.absolute()), fed)
    job = _jobs.on_file(f"reading {path.name}", "device_file:describe", request, path, recipe)
    told = _jobs.run(job, Described)
    return ToMeasure(
        name=name,
        target=target,
        path=path,
        file=told.file,
        fp32=fp32,
        sites=told.sites,
        cpu_bound=RUNTIMES.get(runtime).cpu_bound,
    )
