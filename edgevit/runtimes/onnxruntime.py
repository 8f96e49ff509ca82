"""ONNX Runtime on the CPU of this machine."""

from __future__ import annotations

import importlib.util
from typing import Final

from edgevit.agent.opened import onnx_label
from edgevit.core.plugins import Runtime
from edgevit.core.require import require
from edgevit.runtimes._onnxruntime import contents, integer, runner, session, values


def unavailable() -> str | None:
    """None if it works here."""
    missing = [name for name in ("onnxruntime", "onnx") if importlib.util.find_spec(name) is None]
    return f"the Python package {missing[0]} is not installed" if missing else None


def label() -> str:
    """Version and provider; says where sums are kept exact at the price of speed (x86 without VNNI)."""
    require("onnxruntime", session.EXTRA)
    return onnx_label()


RUNTIME: Final = Runtime(
    summary="ONNX Runtime, CPU provider",
    suffix="onnx",
    extra="onnx",
    has_latency=True,
    unavailable=unavailable,
    label=label,
    open=runner.open_runner,
    integer_macs=integer.count,
    contents=contents.read,
    values=values.read,
    cpu_bound=True,
    on_device=runner.on_device,
    tapped=lambda path, names: session.with_outputs(session.read_model(path), names, path),
)
