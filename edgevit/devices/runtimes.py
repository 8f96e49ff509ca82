"""Which files a device can execute, by what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from edgevit.core.results.device import DeviceFingerprint

# Suffix of a file -> the Python package that executes it in the agent.
_PACKAGES: Final[Mapping[str, str]] = {
    "onnx": "onnxruntime",
    "tflite": "ai-edge-litert",
    "mlpackage": "coremltools",
}


def is_for(fingerprint: DeviceFingerprint, suffix: str) -> bool:
    """Whether files of this kind are meant for such a device at all: Core ML is on Macs alone."""
    return suffix != "mlpackage" or fingerprint.system.startswith("macOS")


def lacks(fingerprint: DeviceFingerprint, suffix: str) -> str:
    """Why a device executes no file of this kind, in one clause; "" where nothing speaks against it."""
    if not is_for(fingerprint, suffix):
        return "Core ML files are executed on a Mac alone"
    package = _PACKAGES.get(suffix, "")
    if package and package not in fingerprint.runtimes:
        return f"the Python package {package} is not installed there (--setup installs it)"
    return ""
