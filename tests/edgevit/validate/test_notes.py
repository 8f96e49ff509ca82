from __future__ import annotations

from edgevit.core.precisions import Precision
from edgevit.core.results.report import ArtifactReport, AutoFloat, KeptFloat32, Latency, Ratio, SiteLoss
from edgevit.validate.notes import notes


def timed(value: float, low: float, high: float, precision: Precision = Precision.W8A8) -> ArtifactReport:
    latency = Latency(2.0, 2.5, 30, 1, 10.0, Ratio(value, (low, high)))
    return ArtifactReport(
        "onnx",
        precision,
        executed_by="a runtime",
        latency=latency,
        size_bytes=1_000_000,
        fp32_size_bytes=3_000_000,
    )


def test_a_slower_file_is_called_slower() -> None:
    (text,) = notes(timed(1.4, 1.3, 1.5))
    assert text == (
        "Slower than its fp32 file: 1.40 times its time on this machine (95 % interval 1.30 to 1.50)."
    )


def test_a_difference_within_the_interval_is_not_called_a_gain() -> None:
    assert notes(timed(0.95, 0.9, 1.02))[0].startswith("Not measurably faster")
    assert notes(timed(1.01, 0.99, 1.02))[0].startswith("Not measurably faster")


def test_a_faster_and_smaller_file_needs_no_words() -> None:
    assert notes(timed(0.5, 0.4, 0.6)) == ()
    assert notes(timed(1.4, 1.3, 1.5, Precision.FP32)) == ()


def test_a_file_that_is_not_smaller_says_so() -> None:
    grown = ArtifactReport("onnx", Precision.W8, size_bytes=3_200_000, fp32_size_bytes=3_000_000)
    assert notes(grown) == ("Larger than its fp32 file: 3.20 MB against 3.00 MB.",)
    same = ArtifactReport("onnx", Precision.W8, size_bytes=3_000_000, fp32_size_bytes=3_000_000)
    assert notes(same)[0].startswith("As large as")


def test_a_missing_latency_is_named() -> None:
    evaluated = ArtifactReport("coreml", Precision.FP16, executed_by="coreml-reference 0.1.0")
    assert notes(evaluated) == ("No latency was measured with coreml-reference 0.1.0.",)


def test_operations_kept_in_float32_are_named_with_their_reasons() -> None:
    kept = tuple(KeptFloat32(f"blocks.{i}.mlp.fc1:linear", f"its result reaches {i}e+06") for i in range(8))
    (text,) = notes(ArtifactReport("onnx", Precision.FP16, float32_kept=kept))
    assert text.startswith(
        "Computed in float32, because float16 would spoil it: "
        "blocks.0.mlp.fc1:linear (its result reaches 0e+06)"
    )
    assert text.endswith("and 2 more in report.json.") and "blocks.6" not in text


def test_a_file_that_only_stores_float16_warns_of_delegates_that_compute_in_it() -> None:
    unsafe = (
        KeptFloat32("norm:layer_norm", "its variance and epsilon in float16 leave 18.0 dB of its result"),
    )
    (text,) = notes(ArtifactReport("tflite", Precision.FP16, float16_unsafe=unsafe))
    assert (
        "computes in float32 on CPUs" in text
        and "would compute wrong values at norm:layer_norm (its variance" in text
    )


def left(reached: bool, count: int) -> ArtifactReport:
    sites = tuple(SiteLoss(f"blocks.{i}:linear", 20.0 + i, 1000) for i in range(count))
    found = AutoFloat(("--min-sqnr 30", "--min-agreement 99"), reached, 32, 24.0, 31.5, sites, 0.042)
    return ArtifactReport("onnx", Precision.W8A8, compute="float32", auto_float=found)


def test_what_was_left_in_float_is_named_with_its_limit_and_its_price() -> None:
    (text,) = notes(left(True, 8))
    assert text.startswith("Kept in float32 to meet --min-sqnr 30 and --min-agreement 99: blocks.0:linear, ")
    assert "blocks.5:linear and 2 more in report.json; 4.2 % of the multiply-accumulates." in text
    assert text.endswith("On 32 held-out calibration images the simulated plan went from 24.0 to 31.5 dB.")
    assert notes(left(True, 0))[0].startswith("No site had to be in float")


def test_a_limit_out_of_reach_is_said() -> None:
    (text,) = notes(left(False, 0))
    assert text.startswith("Even with all sites in float32 the simulated plan misses --min-sqnr 30")
    assert "it has 31.5 dB then, and 24.0 dB as planned" in text
