"""LiteRT (TensorFlow Lite) with XNNPACK on the CPU of this machine."""

from __future__ import annotations

import importlib.util
from typing import Final

from edgevit.agent.opened import litert_label
from edgevit.core.plugins import Runtime
from edgevit.formats import tflite_file
from edgevit.runtimes._litert import contents, integer, runner, values


def unavailable() -> str | None:
    """None if it works here."""
    missing = [name for name in ("ai_edge_litert", "flatbuffers") if importlib.util.find_spec(name) is None]
    return f"the Python package {missing[0]} is not installed" if missing else None


RUNTIME: Final = Runtime(
    summary="LiteRT with XNNPACK, on the CPU",
    suffix="tflite",
    extra="tflite",
    has_latency=True,
    unavailable=unavailable,
    label=litert_label,
    open=runner.open_runner,
    integer_macs=integer.count,
    contents=contents.read,
    values=values.read,
    cpu_bound=True,
    on_device=runner.on_device,
    tapped=lambda path, names: tflite_file.with_outputs(tflite_file.read(path), names)[0],
)
