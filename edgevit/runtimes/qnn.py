"""Qualcomm's Hexagon NPU (HTP), by ONNX Runtime's QNN execution provider: emulated on x86-64, or on the device."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from edgevit.core.plugins import Runtime
from edgevit.formats.htp import DEFAULT
from edgevit.runtimes._onnxruntime import contents
from edgevit.runtimes._onnxruntime import session as ort_session
from edgevit.runtimes._qnn import host, integer, runner, values
from edgevit.runtimes._qnn.architecture import architecture_of


def label() -> str:
    """Version and what it executes on, where a file says nothing of it."""
    return _label(DEFAULT)


def label_of(path: Path) -> str:
    """The same for the architecture that a file is made for."""
    return _label(architecture_of(ort_session.metadata(ort_session.read_model(path)), path))


def _label(architecture: str) -> str:
    where = f" {architecture} (emulated)" if host.emulated() else ""
    return f"qnn {host.version()} htp{where}"


RUNTIME: Final = Runtime(
    summary="Qualcomm's NPU, whole graphs only: an emulator on Linux x86-64, or the device",
    suffix="onnx",
    extra=host.EXTRA,
    has_latency=False,
    unavailable=host.unavailable,
    label=label,
    label_of=label_of,
    emulates=host.emulated,
    open=runner.open_runner,
    integer_macs=integer.count,
    contents=contents.read,
    values=values.read,
)
