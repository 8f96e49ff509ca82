"""Compile a file ahead of time: what a device then loads in milliseconds, without compiling it itself."""

from __future__ import annotations

from pathlib import Path

from edgevit.core.disk.space import writing
from edgevit.core.errors import StepError
from edgevit.runtimes._onnxruntime import session as ort_session
from edgevit.runtimes._qnn.architecture import architecture_of
from edgevit.runtimes._qnn.opened import open_whole


def compile_context(path: Path, out: Path, architecture: str = "") -> tuple[Path, ...]:
    """Write what the backend compiled: `out`, an ONNX file of one EPContext node, and the binary beside it.

    The node names the binary by its name alone, so that the two go together wherever they lie.

    Args:
        out: in an existing folder; the binary is called `STEM_qnn.bin` there.
        architecture: "" for what the file was made for.

    Returns:
        The two files.

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
        "ep.context_embed_mode": "0",
    }
    with writing(out.parent):
        open_whole(path, path, wanted, entries=entries)
    made = (out, out.with_name(f"{out.stem}_qnn.bin"))
    missing = [file.name for file in made if not file.is_file()]
    if missing:
        raise StepError(f"the QNN execution provider compiled {path} and wrote no {missing[0]}")
    return made
