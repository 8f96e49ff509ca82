"""The step that reads a file for a device: how the agent feeds it, and which site each of its tensors belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgevit.core.errors import UnsupportedError
from edgevit.core.progress import Emit
from edgevit.core.runner import DeviceFile, RunOptions
from edgevit.core.types import Preprocess
from edgevit.registries import RUNTIMES, TARGETS
from edgevit.steps.artifacts import image_size, plain_preprocess


@dataclass(frozen=True, slots=True)
class DescribeRequest:
    """`preprocess` is used for a file that carries none; without it, one whose numbers mean nothing."""

    runtime: str
    path: str
    preprocess: Preprocess | None = None


@dataclass(frozen=True, slots=True)
class Described:
    """What the agent must know, and `sites`: tensor -> the site that computes it, as far as the file says."""

    file: DeviceFile
    sites: Mapping[str, str]


def device_runtime(target: str) -> str:
    """Name of the runtime whose files of this target the agent executes.

    Raises:
        UnsupportedError: there is none.
    """
    for name in TARGETS.get(target).runtimes:
        if RUNTIMES.get(name).on_device is not None:
            return name
    raise UnsupportedError(
        f"no runtime of {target} can be used on a device", "profile files of onnx, tflite or coreml"
    )


def describe(asked: DescribeRequest, emit: Emit) -> Described:
    """Read one file. Runs in a worker."""
    del emit
    runtime, path = RUNTIMES.get(asked.runtime), Path(asked.path)
    assert runtime.on_device is not None, "asked of runtimes that have it"
    contents = runtime.contents(path)
    preprocess = asked.preprocess or plain_preprocess(image_size(path, contents))
    file = runtime.on_device(path, RunOptions(threads=1, preprocess=preprocess))
    values = () if runtime.values is None else runtime.values(path)
    return Described(file, {value.tap: value.site for value in values if value.site})
