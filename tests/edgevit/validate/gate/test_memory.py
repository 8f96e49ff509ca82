"""The check on peak memory: only of files whose device measured it, and only on the same device."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgevit.core.results.baseline import BaselineFile, RememberedLatency
from edgevit.core.results.fingerprint import Fingerprint
from edgevit.validate.gate.figures import _memory

BOARD = Fingerprint("Debian 12", "4x Cortex-A72", 4, "onnxruntime 1.31.1 cpu", 1)


def file(memory: int | None, device: Fingerprint = BOARD) -> BaselineFile:
    return BaselineFile(
        target="onnx", precision="w8a8", verdict="pass", executed_by="onnxruntime", size_bytes=1, sha256="a",
        top1=None, agreement=None, sqnr_db=None, integer_mac_fraction=None, in_float=0, inputs=(), outputs=(),
        requires=(), latency=RememberedLatency(p50_ms=10.0, ratio_to_fp32=None, device=device, peak_rss_bytes=memory), device="ssh://board",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("now", "limit", "outcome"),
    [
        (109_000_000, 10.0, "pass"),
        (111_000_000, 10.0, "regressed"),
        (50_000_000, 10.0, "pass"),
        (500_000_000, None, "not-compared"),
        (None, 10.0, "inconclusive"),
    ],
)
def test_growth_against_the_limit(now: int | None, limit: float | None, outcome: str) -> None:
    (check,) = _memory(file(100_000_000), file(now), limit)
    assert check.outcome == outcome and check.kind == "memory" and check.subject == "onnx/w8a8@ssh://board"


def test_another_device_is_not_compared_and_what_was_never_measured_is_no_check() -> None:
    (check,) = _memory(file(100), file(900, replace(BOARD, cores=8)), 10.0)
    assert check.outcome == "not-compared" and "cores 8 instead of 4" in check.reason
    assert list(_memory(file(None), file(900), 10.0)) == []
    assert list(_memory(replace(file(1), latency=None), file(900), 10.0)) == []
