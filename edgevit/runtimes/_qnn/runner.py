"""A Runner on HTP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core.errors import RefusedError, UnreadableTensorsError
from edgevit.core.runner import RunOptions
from edgevit.runtimes._onnxruntime import session as ort_session
from edgevit.runtimes._onnxruntime.runner import OrtRunner, runner_on
from edgevit.runtimes._qnn.architecture import architecture_of
from edgevit.runtimes._qnn.opened import load, open_whole
from edgevit.runtimes._qnn.taps import apart

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def open_runner(path: Path, options: RunOptions) -> OrtRunner:
    """Load the file so that HTP executes all of it, with quantized tensors as further outputs where taps are asked for.

    Raises:
        RefusedError: HTP takes only a part of it.
        InputError: not a loadable ONNX file with one image input, or no preprocessing in it and none given.
        UnreadableTensorsError: HTP takes the file, and not with these tensors as outputs.
        UsageError: a tap that is not in the file, or an architecture that onnxruntime-qnn does not know.
    """
    metadata = ort_session.metadata(ort_session.read_model(path))
    architecture = architecture_of(metadata, path, options.architecture)

    def opened(model: bytes | Path) -> InferenceSession:
        if isinstance(model, Path):
            return open_whole(model, path, architecture)
        try:
            return open_whole(apart(load(model, path)).SerializeToString(), path, architecture)
        except RefusedError as error:
            open_whole(path, path, architecture)  # refused itself, without its inner tensors
            raise UnreadableTensorsError(
                f"inner tensors of {path} cannot be read: {error.message}"
            ) from error

    return runner_on(path, options, opened, by=f"HTP {architecture}")
