"""What one run of benchmark_model measured: its message, and what it prints, as the second source.

It gives no times of single runs. `BenchmarkResult` is
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/lite/tools/benchmark/proto/benchmark_result.proto; what
is printed is `BenchmarkLoggingListener` of tflite/tools/benchmark/benchmark_model.cc and of
litert/tools/benchmark_litert_model.h, and `StatWithPercentiles` of TensorFlow's stats_calculator.h.
"""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any, Final

from edgevit.core.errors import DeviceError
from edgevit.core.require import require
from edgevit.devices._benchmark_model.types import ToolTimes

_AGAIN: Final = "see whether the program given with --runner is Google's benchmark_model"
# Message -> fields in the order of their numbers, which begin with 1.
_MESSAGES: Final = {
    "LatencyMetrics": (
        *(("avg_ms", "FLOAT"), ("min_ms", "FLOAT"), ("max_ms", "FLOAT"), ("stddev_ms", "FLOAT")),
        *(("median_ms", "FLOAT"), ("p5_ms", "FLOAT"), ("p95_ms", "FLOAT"), ("init_ms", "FLOAT")),
        *(("first_inference_ms", "FLOAT"), ("average_warm_up_ms", "FLOAT")),
    ),
    "MemoryMetrics": (
        *(("init_footprint_kb", "INT64"), ("overall_footprint_kb", "INT64"), ("peak_mem_mb", "FLOAT")),
    ),
    "MiscMetrics": (
        *(("model_size_mb", "FLOAT"), ("num_runs", "INT32"), ("num_warmup_runs", "INT32")),
        ("model_throughput_in_mb_per_sec", "FLOAT"),
    ),
    "BenchmarkResult": (
        *(("name", "STRING"), ("latency_metrics", "LatencyMetrics"), ("memory_metrics", "MemoryMetrics")),
        ("misc_metrics", "MiscMetrics"),
    ),
}
_NUMBER: Final = r"([-+.\deE]+)"
# Of each of its two phases, warm-up and measurement; of runs that all took the same time only `curr` is printed.
_PHASE: Final = re.compile(
    rf"count=(\d+)(?: first={_NUMBER})? curr={_NUMBER}(?:\(all same\))?"
    rf"(?: min={_NUMBER} max={_NUMBER} avg={_NUMBER} std={_NUMBER})?"
    rf"(?: p5={_NUMBER} median={_NUMBER} p95={_NUMBER})?"
)
_SUMMARY: Final = re.compile(
    rf"Inference timings in us: Init: {_NUMBER}, First inference: {_NUMBER}, Warmup \(avg\): {_NUMBER}, "
    rf"Inference \(avg\): {_NUMBER}"
)
_BLOCK: Final = re.compile(r"(Model initialization|Warmup \(first\)|Warmup \(avg\)):\s+([\d.]+) ms")
_PEAK: Final = re.compile(
    rf"(?:Overall peak memory footprint \(MB\) via periodic monitoring|Peak memory):\s+{_NUMBER}"
)


def read(message: bytes | None, printed: str, where: str) -> ToolTimes:
    """What was measured, from the message, or from the print of a program that writes none.

    Args:
        message: content of `--result_file_path`, None where the program has no such flag.

    Raises:
        DeviceError: neither says so, they contradict each other, or the times cannot be.
    """
    told = _from_print(printed)
    if message is None:
        if told is None:
            raise DeviceError(f"what benchmark_model prints on {where} has no times in it", _AGAIN)
        return _checked(told, where)
    times = _checked(_from_message(message, where), where)
    if told is not None and not math.isclose(times.median_ms, told.median_ms, rel_tol=1e-3, abs_tol=1e-3):
        raise DeviceError(
            f"benchmark_model on {where} contradicts itself: its result says a median of {times.median_ms:g} ms, "
            f"its print {told.median_ms:g} ms",
            _AGAIN,
        )
    return times


def _from_message(content: bytes, where: str) -> ToolTimes:
    protobuf = require("google.protobuf.message", "tflite")
    result = _result_type()()
    try:
        result.ParseFromString(content)
    except protobuf.DecodeError as error:
        raise DeviceError(f"the result of benchmark_model on {where} is damaged", _AGAIN) from error
    latency, memory, misc = result.latency_metrics, result.memory_metrics, result.misc_metrics
    return ToolTimes(
        runs=misc.num_runs,
        median_ms=latency.median_ms,
        mean_ms=latency.avg_ms,
        min_ms=latency.min_ms,
        max_ms=latency.max_ms,
        stddev_ms=latency.stddev_ms,
        p5_ms=latency.p5_ms,
        p95_ms=latency.p95_ms,
        init_ms=latency.init_ms,
        first_ms=latency.first_inference_ms,
        warm_up_ms=latency.average_warm_up_ms if latency.HasField("average_warm_up_ms") else None,
        warm_up_runs=misc.num_warmup_runs if misc.HasField("num_warmup_runs") else None,
        peak_mb=memory.peak_mem_mb if memory.HasField("peak_mem_mb") else None,
    )


def _from_print(printed: str) -> ToolTimes | None:
    phases = [found.groups() for found in _PHASE.finditer(printed)]
    summary, block = _SUMMARY.search(printed), dict(_BLOCK.findall(printed))
    if len(phases) < 2 or phases[1][8] is None or not (summary or "Model initialization" in block):
        return None
    count, _, same, least, most, mean, deviation, p5, median, p95 = phases[1]
    warm_up_count, warm_up_first, warm_up_same, _, _, warm_up_mean, *_ = phases[0]
    peak = _PEAK.search(printed)
    try:
        return ToolTimes(
            runs=int(count),
            median_ms=float(median) / 1e3,
            mean_ms=float(mean or same) / 1e3,
            min_ms=float(least or same) / 1e3,
            max_ms=float(most or same) / 1e3,
            stddev_ms=float(deviation or 0) / 1e3,
            p5_ms=float(p5) / 1e3,
            p95_ms=float(p95) / 1e3,
            init_ms=float(summary[1]) / 1e3 if summary else float(block["Model initialization"]),
            first_ms=float(warm_up_first or warm_up_same) / 1e3,
            warm_up_ms=float(warm_up_mean or warm_up_same) / 1e3,
            warm_up_runs=int(warm_up_count),
            peak_mb=float(peak[1]) if peak else None,
        )
    except ValueError:  # signs and points that are no number
        return None


def _checked(times: ToolTimes, where: str) -> ToolTimes:
    ordered = (times.min_ms, times.p5_ms, times.median_ms, times.p95_ms, times.max_ms)
    measured = (*ordered, times.mean_ms, times.init_ms, times.first_ms)
    if (
        times.runs < 1
        or not all(0 < ms < math.inf for ms in measured)
        or list(ordered) != sorted(ordered)
        or not times.min_ms * 0.999 <= times.mean_ms <= times.max_ms * 1.001
    ):
        raise DeviceError(
            f"benchmark_model gave times on {where} that cannot be: {times.runs} runs, median {times.median_ms:g} ms, "
            f"from {times.min_ms:g} to {times.max_ms:g} ms",
            "run it again; a device whose clock jumps cannot be measured",
        )
    return times


@cache
def _result_type() -> Any:
    """The class of BenchmarkResult, made from the table: no package brings it."""
    descriptors = require("google.protobuf.descriptor_pb2", "tflite")
    kinds = descriptors.FieldDescriptorProto
    package = "tflite.tools.benchmark"
    file = descriptors.FileDescriptorProto(
        name="edgevit/benchmark_result.proto", package=package, syntax="proto2"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields, 1):
            added = message.field.add(name=field, number=number, label=kinds.LABEL_OPTIONAL)
            if kind in _MESSAGES:
                added.type, added.type_name = kinds.TYPE_MESSAGE, f".{package}.{kind}"
            else:
                added.type = getattr(kinds, f"TYPE_{kind}")
    pool = require("google.protobuf.descriptor_pool", "tflite").DescriptorPool()
    pool.Add(file)
    factory = require("google.protobuf.message_factory", "tflite")
    return factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.BenchmarkResult"))
