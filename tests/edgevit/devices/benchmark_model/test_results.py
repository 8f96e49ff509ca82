"""What benchmark_model writes and prints: messages made by hand, and prints as its sources write them."""

from __future__ import annotations

import struct

import pytest
from ai_edge_litert import profiling_info_pb2
from numpy.testing import assert_array_equal

from edgevit.core.errors import DeviceError
from edgevit.core.results.device import OperatorTime
from edgevit.core.types import TensorSpec
from edgevit.devices._benchmark_model import operators, outputs, results
from tests._benchmark_model import field

INTERPRETER = """\
INFO: STARTING!
INFO: Log parameter values verbosely: [0]
INFO: Loaded model m.tflite
INFO: The input model file size (MB): 1.86664
INFO: Initialized session in 16.772ms.
INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=67 first=8781 curr=7197 min=6335 max=9775 avg=7514.93 std=419 p5=6400 median=7500 p95=9000

INFO: Running benchmark for at least 10 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=60 first=7176 curr=7505 min=6373 max=7775 avg=7454.97 std=256 p5=6410 median=7450 p95=7700

INFO: Inference timings in us: Init: 16772, First inference: 8781, Warmup (avg): 7514.93, Inference (avg): 7454.97
INFO: Overall peak memory footprint (MB) via periodic monitoring: 33.5
"""
COMPILED = """\
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
INFO: count=1055 first=1033 curr=473 min=443 max=1033 avg=465.319 std=18 p5=459 median=463 p95=478

INFO: count=2112 first=463 curr=459 min=442 max=979 avg=464.545 std=13 p5=460 median=462 p95=478

INFO: [./litert/tools/benchmark_litert_model.h:81]
========== BENCHMARK RESULTS ==========
INFO: [./litert/tools/benchmark_litert_model.h:82] Model initialization: 4.48 ms
INFO: [./litert/tools/benchmark_litert_model.h:84] Warmup (first):       1.03 ms
INFO: [./litert/tools/benchmark_litert_model.h:86] Warmup (avg):         0.47 ms (1055 runs)
INFO: [./litert/tools/benchmark_litert_model.h:88] Inference (avg):      0.46 ms (2112 runs)
INFO: [./litert/tools/benchmark_litert_model.h:123] Peak memory usage not available. (peak_mem_mb <= 0)

INFO: [./litert/tools/benchmark_litert_model.h:179]
=============== Run Order ===============
\t           [node type]\t[first]\t[avg ms]\t   [%]\t[cdf%]\t[mem KB]\t[times called]\t[Name]
\tLiteRT::Run[Buffer sync]\t0.020\t 0.014\t 3.309%\t3.309%\t 0.000\t 1\tLiteRT::Run[Buffer sync]/0
\t        AllocateTensors\t  0.291\t 0.291\t 0.022%\t3.331%\t 452.0\t 0\tAllocateTensors/0
\t    Static Reshape (NC)\t  0.085\t 0.003\t 0.739%\t4.070%\t 0.000\t 2\tDelegate/Static Reshape (NC):0
INFO: a line of another part of the program
\tFully Connected (NC, PF32)\t0.538\t0.382\t92.94%\t97.01%\t 0.000\t 1\tDelegate/Fully Connected (NC, PF32):1

=============== Top by Computation Time ===============
\t           [node type]\t[first]\t[avg ms]\t   [%]\t[cdf%]\t[mem KB]\t[times called]\t[Name]
\tFully Connected (NC, PF32)\t0.538\t0.382\t92.94%\t92.94%\t 0.000\t 1\tDelegate/Fully Connected (NC, PF32):1
"""


def message(**changed: float) -> bytes:
    """BenchmarkResult by its published field numbers."""
    ms = {"avg": 7.45497, "min": 6.373, "max": 7.775, "std": 0.256, "median": 7.45, "p5": 6.41, "p95": 7.7}
    ms |= {"init": 16.772, "first": 8.781, "warm": 7.51493} | changed
    latency = b"".join(field(number, float(value)) for number, value in enumerate(ms.values(), 1))
    return field(1, b"a run") + field(2, latency) + field(4, field(2, 60) + field(3, 67))


def wrong(content: bytes | None, printed: str) -> str:
    with pytest.raises(DeviceError) as caught:
        results.read(content, printed, "adb:phone")
    return caught.value.message


def test_the_message_and_the_print_say_the_same() -> None:
    said, told = results.read(message(), INTERPRETER, "adb"), results.read(None, INTERPRETER, "adb")
    assert (said.runs, said.warm_up_runs, told.runs, told.warm_up_runs) == (60, 67, 60, 67)
    names = (
        "median_ms",
        "mean_ms",
        "min_ms",
        "max_ms",
        "stddev_ms",
        "p5_ms",
        "p95_ms",
        "init_ms",
        "first_ms",
    )
    for name in (*names, "warm_up_ms"):
        assert getattr(said, name) == pytest.approx(getattr(told, name), rel=1e-6), name
    assert told.median_ms == 7.45 and told.first_ms == 8.781 and told.init_ms == 16.772
    assert (said.peak_mb, told.peak_mb) == (None, 33.5)
    assert results.read(message() + field(3, field(3, 40.5)), "", "adb").peak_mb == 40.5


def test_the_compiled_model_prints_otherwise() -> None:
    told = results.read(None, COMPILED, "adb")
    assert (told.runs, told.median_ms, told.peak_mb) == (2112, 0.462, None)
    times = (told.mean_ms, told.init_ms, told.first_ms, told.warm_up_ms)
    assert times == pytest.approx((0.464545, 4.48, 1.033, 0.465319))


def test_slow_models_print_powers_of_ten_and_equal_times() -> None:
    printed = """\
count=1 curr=2125000 p5=2125000 median=2125000 p95=2125000
count=3 curr=2000000(all same) p5=2000000 median=2000000 p95=2000000
Inference timings in us: Init: 1.05e+06, First inference: 2125000, Warmup (avg): 2.125e+06, Inference (avg): 2e+06
"""
    told = results.read(None, printed, "adb")
    assert (told.runs, told.median_ms, told.mean_ms, told.min_ms, told.stddev_ms) == (3, 2000, 2000, 2000, 0)
    assert (told.init_ms, told.first_ms, told.warm_up_ms) == (1050, 2125, 2125)


def test_times_that_cannot_be_are_refused() -> None:
    assert "no times in it" in wrong(None, "INFO: STARTING!\n")
    assert "no times in it" in wrong(None, INTERPRETER.replace("Inference timings", "Other timings"))
    assert "is damaged" in wrong(b"\xff\xff", INTERPRETER)
    assert "contradicts itself" in wrong(message(median=7.6), INTERPRETER)
    for name, value in (
        ("median", float("nan")),
        ("min", 0.0),
        ("max", float("inf")),
        ("init", -1.0),
        ("avg", 9.0),
    ):
        assert "cannot be" in wrong(message(**{name: value}), ""), name
    assert "cannot be" in wrong(b"", "")
    assert "cannot be" in wrong(message(p5=7.5), "")


def test_operators_of_the_message() -> None:
    data = profiling_info_pb2.BenchmarkProfilingData()
    data.init_profile.subgraph_profiles.add().per_op_profiles.add(name="AllocateTensors/0", times_called=1)
    graph = data.runtime_profile.subgraph_profiles.add()
    for order, kind, name, us, calls in (
        (2, "SOFTMAX", "[probabilities]:7", 30, 1),
        (0, "CONV_2D", "[a:0, b]:1", 1500, 1),
        (1, "TfLiteXNNPackDelegate", "[hidden]:12", 900, 1),
        (3, "AllocateTensors", "AllocateTensors/0", 80, 0),
        (4, "WHILE", "[loop]:9", 10, 3),
    ):
        entry = graph.per_op_profiles.add(node_type=kind, name=name, run_order=order, times_called=calls)
        entry.inference_microseconds.avg = us

    def read() -> tuple[OperatorTime, ...]:
        return operators.from_message(data.SerializeToString(), "adb")

    assert read() == (
        OperatorTime("a:0", "CONV_2D", "CPU", 1.5),
        OperatorTime("hidden", "TfLiteXNNPackDelegate", "delegate", 0.9),
        OperatorTime("probabilities", "SOFTMAX", "CPU", 0.03),
        OperatorTime("loop", "WHILE", "CPU", 0.03),
    )
    inner = data.runtime_profile.delegate_profiles.add()
    entry = inner.per_op_profiles.add(node_type="DelegateOpInvoke", name="Delegate/Convolution (NHWC, QC8):3")
    entry.times_called, entry.inference_microseconds.avg, entry.run_order = 1, 880, 1
    assert [(op.type, op.by) for op in read()] == [
        ("CONV_2D", "CPU"),
        ("Convolution (NHWC, QC8)", "delegate"),
        ("SOFTMAX", "CPU"),
        ("WHILE", "CPU"),
    ]
    assert read()[1] == OperatorTime(
        "Convolution (NHWC, QC8):3", "Convolution (NHWC, QC8)", "delegate", 0.88
    ), "the delegate's node is what its operators are"
    with pytest.raises(DeviceError, match="damaged"):
        operators.from_message(b"\xff\xff", "adb")
    assert operators.from_message(b"", "adb") == ()


def test_operators_of_the_table() -> None:
    assert operators.from_print(COMPILED) == (
        OperatorTime("LiteRT::Run[Buffer sync]", "LiteRT::Run[Buffer sync]", "runtime", 0.014),
        OperatorTime("Static Reshape (NC):0", "Static Reshape (NC)", "delegate", 0.006),
        OperatorTime("Fully Connected (NC, PF32):1", "Fully Connected (NC, PF32)", "delegate", 0.382),
    )
    assert operators.from_print(INTERPRETER) == ()


def test_outputs_are_cut_where_the_next_begins() -> None:
    specs = (TensorSpec("logits", (1, 3), "float32"), TensorSpec("mask", (1, 2, 2), "int8"))
    content = struct.pack("<3f4b", 1.5, -2, 0.25, 1, -1, 127, -128)
    logits, mask = outputs.split(content, specs, "adb")
    assert_array_equal(logits, [[1.5, -2, 0.25]])
    assert_array_equal(mask, [[[1, -1], [127, -128]]])
    with pytest.raises(DeviceError, match=r"wrote 15 bytes of outputs, which take 16"):
        outputs.split(content[:-1], specs, "adb")


def test_kernels_of_a_delegate_are_called_after_what_they_compute() -> None:
    of_file = tuple(
        OperatorTime(name, kind, "")
        for name, kind in (("a:linear;", "FULLY_CONNECTED"), ("b:gelu;", "GELU"), ("logits", "CUMSUM"))
    )
    linear, gelu = "Fully Connected (NC, QS8, QC8W) GEMM", "GELU (NC)"
    told = (
        OperatorTime("Static Reshape (NC):0", "Static Reshape (NC)", "delegate", 0.1),
        OperatorTime(f"{linear}:1", linear, "delegate", 2.0),
        OperatorTime(f"{gelu}:2", gelu, "delegate", 0.5),
        OperatorTime("LiteRT::Run[Buffer sync]", "LiteRT::Run[Buffer sync]", "runtime", 0.014),
        OperatorTime("logits", "CUMSUM", "CPU", 0.2),
    )
    assert operators.under_tensors(told, of_file) == (
        OperatorTime("a:linear;", "FULLY_CONNECTED", "delegate Static Reshape (NC)", 0.1),
        OperatorTime("a:linear;", "FULLY_CONNECTED", f"delegate {linear}", 2.0),
        OperatorTime("b:gelu;", "GELU", f"delegate {gelu}", 0.5),
        told[3],
        told[4],
    )
    assert operators.under_tensors(told, ()) == told
    whole = (OperatorTime("hidden", "TfLiteXNNPackDelegate", "delegate", 0.9),)
    assert operators.under_tensors(whole, of_file) == whole
