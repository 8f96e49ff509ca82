"""Core ML itself, through coremltools, on macOS.

Core ML's framework exists on Apple's systems only. This module was written where none was at hand:
it follows coremltools' documented interface
(https://apple.github.io/coremltools/source/coremltools.models.html) and has not been run against
the framework. What does not need the framework (reading the file, laying out the images, picking
the outputs) is tested on every system.
"""

from __future__ import annotations

import importlib.util
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from edgevit.agent.feed import Feed
from edgevit.core.errors import MissingDependencyError, StepError, UnsupportedError
from edgevit.core.pixels import feed_of, normalise
from edgevit.core.plugins import Runtime
from edgevit.core.require import require
from edgevit.core.runner import DeviceFile, DeviceOutput, RunOptions
from edgevit.runtimes._images import check_images
from edgevit.runtimes._mil.inspect import contents, integer_macs, preprocess_of
from edgevit.runtimes._mil.read import MilFile, read_mil

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgevit.core.types import Pixels, Preprocess

Predict = Callable[[dict[str, object]], Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class CoreMLRunner:
    """An opened package; see `Runner`. `predict` is coremltools' `MLModel.predict`."""

    file: MilFile
    predict: Predict
    preprocess: Preprocess | None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The framework frees the model with its last reference."""

    def run(self, pixels: Pixels) -> dict[str, NDArray[np.generic]]:
        """Execute on uint8 (N, height, width, 3) RGB, one image after another; each output (N, ...)."""
        import numpy as np

        rows = [self._row(self._predict(self.prepare(pixels[i : i + 1]))) for i in range(len(pixels))]
        return {name: np.stack([row[name] for row in rows]) for name in (rows[0] if rows else {})}

    def prepare(self, pixels: Pixels) -> object:
        """One image (1, height, width, 3) as what `predict` takes: a PIL image, or a float32 tensor."""
        import numpy as np

        check_images(pixels, (*self.file.input.shape[2:], self.file.input.shape[1]), self.file.path, 1)
        if self.preprocess is None:
            shown = pixels[0, ..., 0] if self.file.input.color == "gray" else pixels[0]
            # Core ML reorders the channels of an image to what the file asks for
            return {self.file.input.name: require("PIL.Image").fromarray(np.ascontiguousarray(shown))}
        return {self.file.input.name: normalise(pixels, self.preprocess)}

    def invoke(self, prepared: object) -> None:
        """Execute once."""
        self._predict(prepared)

    def _predict(self, prepared: object) -> Mapping[str, object]:
        assert isinstance(prepared, dict)
        try:
            return self.predict(prepared)
        except RuntimeError as error:
            raise StepError(
                f"Core ML cannot execute {self.file.path}: {error}",
                "the runtime coreml_reference executes it operation by operation",
            ) from error

    def _row(self, found: Mapping[str, Any]) -> dict[str, NDArray[np.generic]]:
        """Outputs of one image; a dictionary of probabilities becomes a vector in the order of the classes."""
        import numpy as np

        row: dict[str, NDArray[np.generic]] = {}
        for name, value in found.items():
            if isinstance(value, Mapping):
                row[name] = np.array([value[label] for label in self.file.classes], np.float32)
            else:
                array = np.asarray(value)
                row[name] = array[0] if array.ndim and array.shape[0] == 1 else array
        return row


def open_package(path: Path, options: RunOptions) -> CoreMLRunner:
    """Compile and load a package for all compute units.

    Raises:
        UnsupportedError: not on macOS, or asked for intermediate values, which Core ML never gives out.
        StepError: Core ML cannot load the file.
        InputError, MissingDependencyError: as `read_mil`; InputError also for a tensor input without
            preprocessing.
    """
    reason = unavailable()
    if reason is not None:
        kind = UnsupportedError if sys.platform != "darwin" else MissingDependencyError
        raise kind(reason, "use the runtime coreml_reference")
    if options.taps:
        raise UnsupportedError("Core ML gives out no intermediate values", "use the runtime coreml_reference")
    file = read_mil(path)
    preprocess = preprocess_of(file, options)
    ct = require("coremltools", "coreml")
    try:
        model = ct.models.MLModel(str(path), compute_units=ct.ComputeUnit.ALL)
    except RuntimeError as error:
        raise StepError(
            f"Core ML cannot load {path}: {error}", "the runtime coreml_reference says more of a broken file"
        ) from error
    return CoreMLRunner(file, model.predict, preprocess)


def on_device(path: Path, options: RunOptions) -> DeviceFile:
    """How the agent on a Mac feeds the file and what it reads, on any system; raises as `read_mil` does."""
    file = read_mil(path)
    preprocess = preprocess_of(file, options)
    *_, channels, height, width = file.input.shape
    feed = Feed("image", False, (), ()) if preprocess is None else feed_of(preprocess, "NCHW")
    outputs = tuple(DeviceOutput(name) for name in file.outputs)
    return DeviceFile(feed, (height, width, channels), outputs, file.classes)


def unavailable() -> str | None:
    """Why Core ML cannot run here, None if it can."""
    if sys.platform != "darwin":
        return f"Core ML runs on macOS only, this is {platform.system() or sys.platform}"
    if importlib.util.find_spec("coremltools") is None:
        return "the Python package 'coremltools' is not installed: pip install 'edgevit[coreml]'"
    return None


RUNTIME: Final = Runtime(
    summary="Core ML on macOS, all compute units",
    suffix="mlpackage",
    extra="coreml",
    has_latency=True,
    unavailable=unavailable,
    label=lambda: f"Core ML macOS {platform.mac_ver()[0]}".strip(),
    open=open_package,
    integer_macs=integer_macs,
    contents=contents,
    on_device=on_device,
)
