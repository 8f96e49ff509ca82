from __future__ import annotations

import math
from dataclasses import replace

import pytest

from edgevit.core.precisions import Precision
from edgevit.core.results import report as r
from edgevit.core.types import Preprocess

_SIZES = {Precision.FP32: 4.1e6, Precision.FP16: 2.1e6, Precision.W8: 1.2e6, Precision.W8A8: 1.3e6}
_TOTALS = {Precision.FP32: 118.0, Precision.FP16: 62.0, Precision.W8: 37.0, Precision.W8A8: 24.3}


def _artifact(target: str, precision: Precision, shift: float) -> r.ArtifactReport:
    quantized = precision in (Precision.W8, Precision.W8A8)
    total = _TOTALS[precision] + shift
    drop = {Precision.W8A8: 0.35, Precision.W8: 0.1}.get(precision, 0.0) + 0.05 * shift
    slow = target == "tflite" and precision == Precision.W8A8
    sites = tuple(
        r.SiteError(f"stages.{i // 4}.blocks.{i % 4}:linear", 58 + 9 * math.sin(i + shift), 1, 0.0002)
        for i in range(40)
    )
    ratio = {Precision.FP16: 1.02, Precision.W8: 1.05, Precision.W8A8: 1.4 if slow else 0.62}.get(precision)
    latency = None
    if target != "coreml":
        interval = None if ratio is None else r.Ratio(ratio, (ratio - 0.04, ratio + 0.05))
        latency = r.Latency(6.2 * (ratio or 1), 6.9 * (ratio or 1), 50, 2, 41.0, interval)
    return r.ArtifactReport(
        target,
        precision,
        "pass",
        path=f"{target}/{precision}/model.{target}",
        size_bytes=int(_SIZES[precision] * (1 + 0.03 * shift)),
        fp32_size_bytes=int(4.1e6 * (1 + 0.03 * shift)),
        sha256="ab" * 32,
        executed_by="onnxruntime 1.31.1 cpu" if target != "coreml" else "coreml-reference 0.1.0",
        integer_mac_fraction=0.91 if precision == Precision.W8A8 else 0.0,
        integer_mac_source="program" if target == "coreml" else "runtime",
        weight_bytes={"int8": 950_000, "float32": 210_000} if quantized else {"float32": 4_000_000},
        compression=r.Compression(24.6, 0.998) if quantized else None,
        fidelity=r.Fidelity(
            31.0 if precision == Precision.W8A8 else total + 50, 0.9999, 0.4, 2000, 31.5, 49.0, "head:linear"
        ),
        total=r.Total(total, 0.998),
        accuracy=r.Accuracy(
            91.9 - drop,
            drop,
            (drop - 0.3, drop + 0.31),
            99.1 - drop,
            2000,
            0.55,
            99.4,
            (drop - 0.25, drop + 0.26),
        ),
        latency=latency,
        notes=("Slower than its fp32 file: 1.40 times its time on this machine.",) if slow else (),
        sites=sites if precision == Precision.W8A8 else (),
        sensitivity=tuple(r.SiteLoss(f"blocks.{i}:linear", 30.0 + i, 10**6) for i in range(20))
        if quantized
        else (),
    )


@pytest.fixture
def report() -> r.Report:
    """A full run of three targets and four precisions, with a failure, an error and user text to escape."""
    made = [
        _artifact(target, precision, shift)
        for shift, target in enumerate(("onnx", "tflite", "coreml"))
        for precision in (Precision.FP32, Precision.FP16, Precision.W8, Precision.W8A8)
    ]
    made.append(
        r.ArtifactReport("tflite", Precision.W4, "error", ("the converter <crashed> & left no file",))
    )
    made.append(
        r.ArtifactReport(
            "onnx",
            Precision.W8DA8,
            "fail",
            ("meant to be w8da8, but only 3 % of the multiply-accumulates run in integers",),
            path="onnx/w8da8/model.onnx",
            size_bytes=1_250_000,
            executed_by="onnxruntime 1.31.1 cpu",
        )
    )
    return r.Report(
        model=r.ModelSummary(
            "mobilevit <b>",
            "python:my&file.py:make",
            951_002,
            87_000_000,
            "cd" * 32,
            Preprocess(128, 128, (146, 146)),
            10,
            "preprocessor_config.json of <b>",
        ),
        samples=r.SampleSets(
            r.SampleSet("demo", 128, "ef"), r.SampleSet("images/<x>", 2000, "ef", True, ("a<b>.jpg",))
        ),
        reference=r.Reference(91.9, 99.6, 2000),
        artifacts=tuple(made),
        timings_s=r.Timings(1.2, 190.0, 4.0, 9.0, 3.0, {"onnx": 20.0, "tflite": 41.0}, {"onnx/fp32": 5.0}),
        environment=r.Environment({"edgevit": "0.1.0", "torch": "2.14.1"}, "Linux 6.1", "A CPU & more", 2),
        limits=r.Limits(max_drop=1.0),
        prune=("stages.1.mlp: 256 to 192 neurons",),
        rewrites=("fold_batch_norm", "split_attention"),
        not_done=(r.NotDone("coreml latency", "the reference evaluator says nothing about a device"),),
        warnings=("1 image was unreadable: a<b>.jpg",),
    )


@pytest.fixture
def doubted(report: r.Report) -> r.Report:
    """The same, whose float model is right more often with other preprocessing."""
    doubt = r.Doubt(
        kind="preprocessing",
        text="with --preprocess color=bgr <b> it is right on 90.00 %",
        flags=("--preprocess color=bgr",),
        n=256,
        top1=70.0,
        top1_ci95=(64.1, 75.3),
        alternative_top1=90.0,
        alternative_ci95=(85.7, 93.1),
    )
    reference = replace(report.reference, doubts=(doubt,))
    return replace(report, reference=reference, warnings=(doubt.text, *report.warnings))
