"""The verdict on a file on a device, from figures that are made up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edgevit.core.precisions import Precision
from edgevit.core.results.report import (
    Accuracy,
    ArtifactReport,
    DeviceLoss,
    Fidelity,
    Limits,
    OnDevice,
    Total,
)
from edgevit.validate.on_device import judged, least_db, with_devices

ACCURACY = Accuracy(80.0, 0.0, (-1.0, 1.0), 99.0, 1000, 1.0, drop_bounds95=(-0.8, 0.8))


def artifact(precision: Precision, **changes: Any) -> ArtifactReport:
    made = ArtifactReport(
        target="onnx",
        precision=precision,
        verdict="pass",
        executed_by="onnxruntime",
        fidelity=Fidelity(50.0, 1.0, 0.1, 128, 48.0),
        total=Total(30.0, 1.0),
        accuracy=ACCURACY,
        compute="float32",
    )
    return replace(made, **changes)


def column(db: float, **changes: Any) -> OnDevice:
    made = OnDevice(
        "ssh://board", "inconclusive", executed_by="x", total=Total(30.0, 1.0), accuracy=ACCURACY,
        loss=DeviceLoss(db, 0.1, 99.5, 1000),
    )  # fmt: skip
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("precision", "changes", "least"),
    [
        ("fp32", {}, 80.0),
        ("w8", {}, 80.0),
        ("w8", {"compute": "float16"}, 40.0),
        ("fp16", {"compute": "float16"}, 40.0),
        ("w8a8", {}, 33.0),  # total 30 dB and 3 more; its noise floor of 48 less 5 is higher
        ("w8a8", {"total": Total(46.0, 1.0)}, 43.0),
        ("w8a8", {"fidelity": None}, 33.0),  # made by another tool: no plan, no floor
        ("w8a8", {"fidelity": None, "total": None}, None),
    ],
)
def test_what_two_processors_may_differ_in(
    precision: str, changes: dict[str, Any], least: float | None
) -> None:
    assert least_db(artifact(Precision(precision), **changes)) == least


def test_a_device_passes_that_gives_the_same_and_fails_that_does_not() -> None:
    file = artifact(Precision.W8A8)
    good, bad = (
        judged(file, column(33.5), Limits()),
        judged(file, column(32.5, first_difference="it is x"), Limits()),
    )
    assert (good.verdict, good.reasons) == ("pass", ())
    assert bad.verdict == "fail" and "32.5 dB" in bad.reasons[0] and bad.reasons[1] == "it is x"


def test_the_limits_hold_on_the_device_too() -> None:
    worse = replace(ACCURACY, drop_pp=5.0, drop_ci95=(4.0, 6.0), drop_bounds95=(4.2, 5.8))
    found = judged(artifact(Precision.W8A8), column(60.0, accuracy=worse), Limits(max_drop=1.0))
    assert found.verdict == "fail" and any("limit" in reason for reason in found.reasons)


def test_a_file_that_nothing_executes_here_cannot_be_compared_with_itself() -> None:
    found = judged(artifact(Precision.W8A8), column(60.0, loss=None), Limits())
    assert found.verdict == "inconclusive" and "nothing here executes" in found.reasons[0]


@pytest.mark.parametrize(
    ("here", "there", "together"),
    [
        ("pass", ("pass", "pass"), "pass"),
        ("pass", ("pass", "fail"), "fail"),
        ("pass", ("error", "inconclusive"), "error"),
        ("fail", ("pass", "error"), "fail"),
        ("inconclusive", ("pass", "pass"), "inconclusive"),
    ],
)
def test_the_verdict_is_the_worst_of_all(here: Any, there: tuple[Any, ...], together: str) -> None:
    columns = [OnDevice(f"d{i}", verdict, ("why",)) for i, verdict in enumerate(there)]
    found = with_devices(artifact(Precision.W8A8, verdict=here, reasons=("own",)), columns)
    assert found.verdict == together and found.reasons == (
        "own",
        *(f"on d{i}: why" for i in range(len(there))),
    )


def test_what_its_runtime_executes_in_integers_is_held_against_what_it_is_meant_to_be() -> None:
    file = artifact(Precision.W8A8, integer_mac_fraction=0.95, partitions=1)
    same = judged(file, column(60.0, integer_mac_fraction=0.945, partitions=1), Limits())
    assert (same.verdict, same.remarks) == ("pass", ())
    less = judged(file, column(60.0, integer_mac_fraction=0.8, partitions=3), Limits())
    assert less.verdict == "pass" and less.remarks == (
        "80 % of its multiply-accumulates run in integers there (x), 95 % here (onnxruntime)",
        "the delegate executes 3 parts of it there, 1 part of it here",
    )
    none = judged(file, column(60.0, integer_mac_fraction=0.2), Limits())
    assert none.verdict == "fail" and none.reasons == (
        "meant to be w8a8, but only 20 % of the multiply-accumulates run in integers there",
    )
    unknown = judged(file, column(60.0), Limits())
    assert (unknown.verdict, unknown.remarks) == ("pass", ())
    assert (
        judged(artifact(Precision.FP32), column(90.0, integer_mac_fraction=0.0), Limits()).verdict == "pass"
    )
