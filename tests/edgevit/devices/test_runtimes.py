"""Which files a device can execute, by what it says of itself."""

from __future__ import annotations

import pytest

from edgevit.core.results.device import DeviceFingerprint
from edgevit.devices.runtimes import is_for, lacks


def device(system: str, *packages: str) -> DeviceFingerprint:
    versions = dict.fromkeys(packages, "1")
    return DeviceFingerprint("", system, "arm64", "", (), 4, 1, "", "3.11", versions, "")


@pytest.mark.parametrize(
    ("system", "packages", "suffix", "meant", "words"),
    [
        ("Debian GNU/Linux 12", ("onnxruntime",), "onnx", True, ""),
        ("Debian GNU/Linux 12", (), "onnx", True, "onnxruntime is not installed there"),
        ("Debian GNU/Linux 12", ("onnxruntime",), "tflite", True, "ai-edge-litert is not installed there"),
        ("Debian GNU/Linux 12", ("coremltools",), "mlpackage", False, "on a Mac alone"),
        ("macOS-14.5-arm64-arm-64bit", ("coremltools",), "mlpackage", True, ""),
        ("macOS-14.5-arm64-arm-64bit", (), "mlpackage", True, "coremltools is not installed there"),
    ],
)
def test_a_device_and_a_file(
    system: str, packages: tuple[str, ...], suffix: str, meant: bool, words: str
) -> None:
    found = device(system, *packages)
    assert is_for(found, suffix) == meant
    assert (lacks(found, suffix) == "") == (words == "") and words in lacks(found, suffix)
