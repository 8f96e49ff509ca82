"""Times of an earlier run: only what they decide counts."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench._gate import drawn as d
from edgevit.core.results.baseline import RememberedLatency
from edgevit.core.results.fingerprint import Fingerprint
from edgevit.core.results.report import Ratio
from edgevit.flows._gate.shipped import open_bundle
from edgevit.validate.gate.latency import latency_checks
from edgevit.validate.gate.sides import Shipped
from tests.edgevit.flows._gate import policy

HERE = Fingerprint("Linux", "a processor", 2, "onnxruntime 1", 1)
NAME = "onnx/w8a8"


def timed(shipped: Shipped, found: RememberedLatency | None, content: str) -> Shipped:
    """The same bundle whose one file was made of `content` and timed so."""
    files = tuple(
        replace(f, latency=found, sha256=content * 64) if f.name == NAME else f for f in shipped.facts.files
    )
    return replace(shipped, facts=replace(shipped.facts, files=files))


def latency(value: float, low: float, high: float, device: Fingerprint = HERE) -> RememberedLatency:
    return RememberedLatency(p50_ms=10 * value, ratio_to_fp32=Ratio(value, (low, high)), device=device)


OTHER = replace(HERE, cpu="another")
# Errors of the logarithms add in squares. Of [0.98, 1.02] twice: 0.0200 * sqrt(2) = 0.0283, so 0.97 to 1.03 around one.
EXACT = latency(1.0, 0.98, 1.02)


@pytest.mark.parametrize(
    ("before", "now", "outcome", "says"),
    [
        (EXACT, EXACT, "pass", r"\+0.0 % \[-2.8, \+2.9\], within the 10 % that are allowed"),
        (EXACT, latency(1.2, 1.176, 1.224), "regressed", r"\+20.0 % \[\+16.7, \+23.4\], more than the 10 %"),
        (EXACT, latency(0.5, 0.3, 0.8), "pass", "-50.0 %"),  # wide, and all of it below the limit
        (
            latency(1.0, 0.8, 1.25),
            latency(1.0, 0.8, 1.25),
            "not-compared",
            "too wide for a limit of 10 %; give the",
        ),
        (
            EXACT,
            latency(1.0, 0.98, 1.02, OTHER),
            "not-compared",
            "another device or runtime: cpu another instead of",
        ),
        (EXACT, None, "not-compared", "it was not timed in both runs"),
    ],
)
def test_times_of_an_earlier_run_decide_or_are_not_compared(
    tmp_path: Path, before: RememberedLatency, now: RememberedLatency | None, outcome: str, says: str
) -> None:
    shipped = open_bundle(d.write(tmp_path, d.a_model(np.random.default_rng(0), 40))).shipped
    old, new = timed(shipped, before, "a"), timed(shipped, now, "b")
    (check,) = (c for c in latency_checks(old, new, policy(), {}, "") if c.subject == NAME)
    assert check.outcome == outcome and re.search(says, check.reason), check.reason
