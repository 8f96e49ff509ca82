from __future__ import annotations

from dataclasses import replace

from edgevit.core.results.fingerprint import Fingerprint
from edgevit.core.results.report import Environment

THEN = Fingerprint("Linux-6.1", "Xeon", 8, "onnxruntime 1.30.0 cpu", 8)


def test_the_same_device_and_runtime_differ_in_nothing() -> None:
    made = Environment({"numpy": "2.0"}, "Linux-6.1", "Xeon", 8)
    assert Fingerprint.of(made, "onnxruntime 1.30.0 cpu", 8) == THEN
    assert THEN.difference(replace(THEN)) == ""


def test_what_differs_is_said() -> None:
    now = replace(THEN, cores=4, runtime="onnxruntime 1.31.1 cpu")
    assert now.difference(THEN) == (
        "the baseline was timed on another device or runtime: cores 4 instead of 8, "
        "runtime onnxruntime 1.31.1 cpu instead of onnxruntime 1.30.0 cpu"
    )
