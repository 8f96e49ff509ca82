"""Compile a file ahead of time: what a device then loads in milliseconds, without compiling it itself."""

from __future__ import annotations

from pathlib import Path

from edgevit.core.disk.space import writing
from edgevit.core.errors import StepError
from edgevit.runtimes._onnxruntime import session as ort_session
from edgevit.runtimes._qnn.architecture import architecture_of
from edgevit.runtimes._qnn.opened import open_whole


def compile_context(path: Path, out: Path, architecture: str = "") -> Path:
    """Write what the backend compiled: an ONNX file of one EPContext node, which holds the program.

    It takes and gives what the file does, and runs on that architecture alone, by the QNN execution provider alone.

    Args:
        out: a path where nothing is, in an existing folder.
        architecture: "" for what the file was made for.

    Returns:
        `out`.

    Raises:
        RefusedError: HTP takes only a part of the file.
        UsageError: onnxruntime-qnn does not know the architecture.
        StorageError: the disk is full or the place is read-only.
    """
    metadata = ort_session.metadata(ort_session.read_model(path))
    wanted = architecture_of(metadata, path, architecture)
    entries = {
        "ep.context_enable": "1",
        "ep.context_file_path": str(out.resolve()),
        "ep.context_embed_mode": "1",
    }
    with writing(out.parent):
        open_whole(path, path, wanted, entries=entries)
    if not out.is_file():
        raise StepError(f"the QNN execution provider compiled {path} and wrote nothing")
    return out
