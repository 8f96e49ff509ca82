"""The step that makes a copy of a file which gives out every tensor, and executes it here on one image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgevit.core.progress import Emit
from edgevit.core.runner import DeviceFile, RunOptions
from edgevit.core.types import Preprocess
from edgevit.registries import RUNTIMES
from edgevit.steps import messages, named_outputs


@dataclass(frozen=True, slots=True)
class TapRequest:
    """`work` has the images and gets the copy and its values."""

    work: str
    runtime: str
    path: str
    preprocess: Preprocess


@dataclass(frozen=True, slots=True)
class Tapped:
    """A copy with every tensor among its outputs.

    Attributes:
        copy, values: names of files in the work folder: the copy, and what its outputs are here, by name.
        taps: (tensor, its site or "") in the order of their computation.
    """

    copy: str
    values: str
    file: DeviceFile
    taps: tuple[tuple[str, str], ...]


def tap(asked: TapRequest, emit: Emit) -> Tapped:
    """Copy one file of a runtime that has `values` and `tapped`. Runs in a worker."""
    import numpy as np

    del emit
    runtime, path, work = RUNTIMES.get(asked.runtime), Path(asked.path), Path(asked.work)
    assert runtime.values is not None and runtime.tapped is not None and runtime.on_device is not None
    # `#INDEX` stands for a tensor that shares its name with others, which outputs cannot.
    taps = tuple((v.tap, v.site) for v in runtime.values(path) if not v.tap.startswith("#"))
    copy = work / f"tapped.{runtime.suffix}"
    copy.write_bytes(runtime.tapped(path, tuple(name for name, _ in taps)))
    options = RunOptions(threads=1, preprocess=asked.preprocess)
    with runtime.open(copy, options) as runner:
        values = runner.run(np.array(np.load(work / messages.PIXELS, mmap_mode="r")[:1]))
    named_outputs.save(work / "tapped.npz", values)
    return Tapped(copy.name, "tapped.npz", runtime.on_device(copy, options), taps)
