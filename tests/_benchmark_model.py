"""A stand-in for Google's benchmark_model, which cannot be had where edgevit is tested.

It takes the documented flags, really executes the file with LiteRT, and writes and prints what the sources say: flags
and print of tflite/tools/benchmark/benchmark_model.cc and benchmark_tflite_model.cc, or those of
litert/tools/benchmark_litert_model.h, all in https://github.com/google-ai-edge/LiteRT. Its operators' times are made
up: 100 microseconds for the first, 200 for the second, and so on. `write` makes a program of it.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import time
from pathlib import Path
from typing import Any

KIND = "interpreter"
COMMON = {
    "num_runs": ("50", "int32"),
    "min_secs": ("1", "float"),
    "max_secs": ("150", "float"),
    "num_threads": ("-1", "int32"),
    "warmup_runs": ("1", "int32"),
    "warmup_min_secs": ("0.5", "float"),
    "report_peak_memory_footprint": ("false", "bool"),
    "memory_footprint_check_interval_ms": ("50", "int32"),
    "graph": ("", "string"),
    "result_file_path": ("", "string"),
}
OWN = {
    "interpreter": {
        "input_layer": ("", "string"),
        "input_layer_shape": ("", "string"),
        "input_layer_value_files": ("", "string"),
        "enable_op_profiling": ("false", "bool"),
        "op_profiling_output_mode": ("stdout", "string"),
        "op_profiling_output_file": ("", "string"),
        "output_filepath": ("", "string"),
        "use_xnnpack": ("false", "bool"),
    },
    "compiled model": {
        "use_cpu": ("true", "bool"),
        "use_gpu": ("false", "bool"),
        "use_profiler": ("false", "bool"),
    },
}


def write(path: Path, kind: str = KIND) -> Path:
    """The stand-in as a program of this computer."""
    text = Path(__file__).read_text().replace(f'KIND = "{KIND}"', f'KIND = "{kind}"', 1)
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return path


def say(level: str, text: str) -> None:
    print(f"{level}: {text}", file=sys.stderr if level == "ERROR" else sys.stdout, flush=True)


def usage(flags: dict[str, tuple[str, str]]) -> str:
    width = max(len(f"--{name}={default}") for name, (default, _) in flags.items())
    rows = [
        f"\t{f'--{name}={default}':<{width}}\t{kind}\toptional\twhat {name} is"
        for name, (default, kind) in flags.items()
    ]
    return "\n".join([f"usage: {sys.argv[0]} <flags>", "Flags:", *rows, ""])


def parse(flags: dict[str, tuple[str, str]]) -> dict[str, str]:
    given = {name: default for name, (default, _) in flags.items()}
    unknown = []
    for word in sys.argv[1:]:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not equals or name not in flags:
            unknown.append(word)
            continue
        kind = flags[name][1]
        with contextlib.suppress(ValueError):
            if kind == "bool":
                ["false", "true"].index(value)
            elif kind != "string":
                float(value)
            given[name] = value
            continue
        say("ERROR", f"Failed to parse flag '{name}' against argv '{word}'")
        say("ERROR", usage(flags))
        raise SystemExit(1)
    if unknown[:1] == ["--help"]:
        say("ERROR", usage(flags))
        raise SystemExit(1)
    if unknown:
        say("WARN", f"Unconsumed cmdline flags: {' '.join(unknown)}")
    return given


class Stat:
    """StatWithPercentiles, in microseconds."""

    def __init__(self, values: list[int]) -> None:
        self.values = values
        self.mean = sum(values) / len(values)
        self.deviation = (sum((v - self.mean) ** 2 for v in values) / len(values)) ** 0.5

    def percentile(self, percent: int) -> int:
        return sorted(self.values)[len(self.values) * percent // 100]

    def __str__(self) -> str:
        count, low, high = len(self.values), min(self.values), max(self.values)
        if low == high:
            text = f"count={count} curr={self.values[-1]}" + ("(all same)" if count > 1 else "")
        else:
            text = (
                f"count={count} first={self.values[0]} curr={self.values[-1]} min={low} max={high} "
                f"avg={self.mean:g} std={self.deviation:g}"
            )
        return f"{text} p5={self.percentile(5)} median={self.percentile(50)} p95={self.percentile(95)}"


def phase(invoke: Any, runs: int, seconds: float) -> Stat:
    say("INFO", f"Running benchmark for at least {runs} iterations and at least {seconds:g} seconds but")
    values: list[int] = []
    end = time.perf_counter() + seconds
    while len(values) < runs or time.perf_counter() < end:
        begin = time.perf_counter()
        invoke()
        values.append(max(1, round((time.perf_counter() - begin) * 1e6)))
    stat = Stat(values)
    say("INFO", f"{stat}\n")
    return stat


def field(number: int, value: float | int | bytes) -> bytes:
    """One field of a protocol buffer's wire format."""
    if isinstance(value, float):
        return bytes([number << 3 | 5]) + struct.pack("<f", value)
    if isinstance(value, bytes):
        return bytes([number << 3 | 2, len(value)]) + value
    digits = bytearray()
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes([number << 3]) + bytes([*digits, value])


def result(init: int, warm: Stat, runs: Stat, peak: float | None) -> bytes:
    ms = [runs.mean, min(runs.values), max(runs.values), runs.deviation, runs.percentile(50)]
    ms += [runs.percentile(5), runs.percentile(95), init, warm.values[0], warm.mean]
    latency = b"".join(field(number, value / 1e3) for number, value in enumerate(ms, 1))
    memory = field(1, 1024) + field(2, 2048) + (b"" if peak is None else field(3, peak))
    misc = field(1, 0.5) + field(2, len(runs.values)) + field(3, len(warm.values)) + field(4, 1.5)
    return field(2, latency) + field(3, memory) + field(4, misc)


def profile(operators: list[tuple[str, str]], count: int) -> bytes:
    from ai_edge_litert import profiling_info_pb2

    data = profiling_info_pb2.BenchmarkProfilingData()
    first = data.init_profile.subgraph_profiles.add()
    first.per_op_profiles.add(node_type="AllocateTensors", name="AllocateTensors/0", times_called=1)
    graph = data.runtime_profile.subgraph_profiles.add()
    for index, (kind, name) in enumerate(operators):
        entry = graph.per_op_profiles.add(node_type=kind, name=f"[{name}]:{index}", run_order=index)
        entry.times_called = 1
        stat = entry.inference_microseconds
        stat.avg, stat.count = 100 * (index + 1), count
        stat.sum = stat.avg * count
    return bytes(data.SerializeToString())


def table(operators: list[tuple[str, str]]) -> str:
    head = ["[node type]", "[first]", "[avg ms]", "[%]", "[cdf%]", "[mem KB]", "[times called]", "[Name]"]
    rows = ["\t" + "\t".join(head)]
    rows.append(
        "\t         AllocateTensors\t    0.291\t    0.291\t  0.022%\t  3.3%\t   4.0\t        0\tAllocateTensors/0"
    )
    for index, (kind, _) in enumerate(operators):
        ms = f"{(index + 1) / 10:9.3f}"
        rows.append(f"\t{kind:>24}\t{ms}\t{ms}\t 10.0%\t 20.0%\t   0.000\t        1\tDelegate/{kind}:{index}")
    return "\n".join(
        ["", f"{'=' * 30} Run Order {'=' * 30}", *rows, "", f"{'=' * 30} Top by Computation Time {'=' * 30}"]
    )


def main() -> int:
    say("INFO", "STARTING!")
    flags = {**COMMON, **OWN[KIND]}
    given = parse(flags)
    from ai_edge_litert.interpreter import Interpreter

    begin = time.perf_counter()
    try:
        interpreter = Interpreter(given["graph"], num_threads=max(1, int(given["num_threads"])))
    except (ValueError, RuntimeError):
        say("ERROR", f"Failed to load model {given['graph']}")
        say("ERROR", "Benchmarking failed.")
        return 1
    operators = [
        (op["op_name"], interpreter._get_tensor_details(op["outputs"][0], 0)["name"])
        for op in interpreter._get_ops_details()
        if op["op_name"] != "DELEGATE"
    ]
    interpreter.allocate_tensors()
    init = max(1, round((time.perf_counter() - begin) * 1e6))
    say("INFO", f"Loaded model {given['graph']}")
    fill(interpreter, given.get("input_layer_value_files", ""), given.get("input_layer_shape", ""))
    warm = phase(interpreter.invoke, int(given["warmup_runs"]), float(given["warmup_min_secs"]))
    runs = phase(interpreter.invoke, int(given["num_runs"]), float(given["min_secs"]))
    peak = 12.5 if given["report_peak_memory_footprint"] == "true" else None
    if given["result_file_path"]:
        Path(given["result_file_path"]).write_bytes(result(init, warm, runs, peak))
    told(init, warm, runs, peak)
    if given.get("enable_op_profiling") == "true" and given["op_profiling_output_mode"] == "proto":
        Path(given["op_profiling_output_file"]).write_bytes(profile(operators, len(runs.values)))
    if given.get("use_profiler") == "true":
        say("INFO", f"[benchmark_litert_model.h:179] {table(operators)}")
    if given.get("output_filepath"):
        details = interpreter.get_output_details()
        dump = b"".join(interpreter.get_tensor(detail["index"]).tobytes() for detail in details)
        Path(given["output_filepath"]).write_bytes(dump)
    return 0


def fill(interpreter: Any, files: str, shapes: str) -> None:
    import numpy as np

    (detail,) = interpreter.get_input_details()
    random = np.random.default_rng().integers(0, 100, detail["shape"])
    content = random.astype(detail["dtype"]).tobytes()
    if files:
        content = Path(files.partition(":")[2]).read_bytes()
        size = int(np.prod(detail["shape"])) * np.dtype(detail["dtype"]).itemsize
        if len(content) != size or shapes != ",".join(map(str, detail["shape"])):
            say("ERROR", f"The size of {files} is {len(content)} bytes. It should be {size} bytes.")
            os.abort()
    array = np.frombuffer(content, detail["dtype"]).reshape(detail["shape"])
    interpreter.set_tensor(detail["index"], array)


def told(init: int, warm: Stat, runs: Stat, peak: float | None) -> None:
    if KIND == "interpreter":
        say(
            "INFO",
            f"Inference timings in us: Init: {init}, First inference: {warm.values[0]}, "
            f"Warmup (avg): {warm.mean:g}, Inference (avg): {runs.mean:g}",
        )
        if peak is not None:
            say("INFO", f"Overall peak memory footprint (MB) via periodic monitoring: {peak:g}")
        return
    rows = [
        "\n========== BENCHMARK RESULTS ==========",
        f"Model initialization: {init / 1e3:.2f} ms",
        f"Warmup (first):       {warm.values[0] / 1e3:.2f} ms",
        f"Warmup (avg):         {warm.mean / 1e3:.2f} ms ({len(warm.values)} runs)",
        f"Inference (avg):      {runs.mean / 1e3:.2f} ms ({len(runs.values)} runs)",
        f"Inference (min):      {min(runs.values) / 1e3:.2f} ms",
        f"Inference (max):      {max(runs.values) / 1e3:.2f} ms",
        "\nMemory Usage:",
        "Peak memory usage not available. (peak_mem_mb <= 0)"
        if peak is None
        else f"Peak memory:          {peak:.2f} MB",
        "======================================\n",
    ]
    for number, row in enumerate(rows):
        say("INFO", f"[benchmark_litert_model.h:{80 + number}] {row}")


if __name__ == "__main__":
    raise SystemExit(main())
