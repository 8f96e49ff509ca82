"""Where the time of a file goes: each operator, its kernel, and how long it takes."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from . import coreml_plan, litert_match, litert_profile
from .clock import WARMUP_SECONDS, since_ms, warm_up
from .feed import Feed, tensor
from .opened import coreml_label, litert_label, litert_threads, onnx_label, onnx_options
from .wire import Message

WARM_RUNS = 100


def profile(job: Message, progress: Callable[[Message], None]) -> Message:
    """Time every operator of a file.

    Args:
        job: `path`, `feed`, `shape` of an image, `threads`, `runs`, `unit` of Core ML.

    Returns:
        `operators` in execution order: of each `name`, `type`, `by` (what executed it) and `ms`, the mean of the
        middle half of its runs; `executed_by`; `runs`. Measuring each costs time itself. Core ML times none: of its
        operations there is the `cost` that it expects, a share of the whole.

    Raises:
        NotImplementedError: the runtime tells no such times.
    """
    suffix = job["path"].rsplit(".", 1)[-1]
    if suffix == "onnx":
        return _onnx(job)
    if suffix == "tflite":
        return _tflite(job)
    if suffix == "mlpackage":
        unit = job.get("unit", "all")
        planned = coreml_plan.operations(job["path"], unit)
        return {"operators": planned, "executed_by": coreml_label(unit), "runs": 0}
    raise NotImplementedError("no operator times of a file called " + job["path"])


def _onnx(job: Message) -> Message:
    """Of ONNX Runtime's profile: https://onnxruntime.ai/docs/performance/tune-performance/profiling-tools.html."""
    import onnxruntime

    options = onnx_options(job["threads"])
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = os.path.join(folder, "p")
        session = onnxruntime.InferenceSession(job["path"], options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        fed = {name: _input(job)}
        warm, begin = 0, time.perf_counter()
        while warm < WARM_RUNS and since_ms(begin) < WARMUP_SECONDS * 1e3:  # all of them go into the profile
            session.run(None, fed)
            warm += 1
        for _ in range(job["runs"]):
            session.run(None, fed)
        with open(session.end_profiling()) as file:
            events = json.load(file)
    return {"operators": of_events(events, warm), "executed_by": onnx_label(), "runs": job["runs"]}


def of_events(events: list[Message], warm: int) -> list[Message]:
    """Operators of a profile of ONNX Runtime, in execution order; every run has one event of each.

    Args:
        warm: runs that do not count.
    """
    behind = "_kernel_time"
    times: dict[str, list[float]] = {}
    first: dict[str, Message] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(behind):
            node = event["name"][: -len(behind)]
            first.setdefault(node, event["args"])
            times.setdefault(node, []).append(event["dur"] / 1e3)
    return [
        {"name": node, "type": args["op_name"], "by": args["provider"], "ms": typical(times[node][warm:])}
        for node, args in first.items()
    ]


def _tflite(job: Message) -> Message:
    """Of LiteRT's profile; an operator is called after the tensor that it computes."""
    names, types = _operators_of(job["path"])
    kernels = litert_profile.kernels(
        job["path"], _input(job).tobytes(), litert_threads(job["threads"]), job["runs"], warm_up
    )
    numbers = {index: number for number, index in enumerate(names)}
    # A node that is none of the file's stands for a delegate that does not tell its kernels.
    known = [(kernel.tag, numbers.get(kernel.node, -1)) for kernel in kernels]
    indices = list(names)
    found: list[dict[str, Any]] = []
    for kernel, number in zip(kernels, litert_match.match(known, [types[index] for index in indices])):
        index = indices[number]
        by = "LiteRT" if kernel.node in numbers else "XNNPACK " + kernel.tag
        ms = typical([us / 1e3 for us in kernel.us])
        found.append({"name": names[index], "type": types[index], "by": by, "ms": ms})
    return {"operators": found, "executed_by": litert_label(), "runs": job["runs"]}


def typical(times: Sequence[float]) -> float:
    """Mean of the middle half: no outlier counts, and it is finer than the microseconds that runtimes tell."""
    ordered = sorted(times)
    cut = len(ordered) // 4
    middle = ordered[cut : len(ordered) - cut]
    return round(sum(middle) / len(middle), 6)


def _operators_of(path: str) -> tuple[dict[int, str], dict[int, str]]:
    """Index -> tensor that it computes, and index -> type, of the operators of a .tflite file that depend on its input.

    Raises:
        NotImplementedError: this LiteRT does not list them.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_path=path, experimental_op_resolver_type=plain)
    if not hasattr(interpreter, "_get_ops_details"):
        raise NotImplementedError(litert_label() + " does not list the operators of a file")
    tensors = {detail["index"]: detail["name"] for detail in interpreter.get_tensor_details()}
    depends = {int(detail["index"]) for detail in interpreter.get_input_details()}
    names: dict[int, str] = {}
    types: dict[int, str] = {}
    for node in interpreter._get_ops_details():
        if depends & {int(tensor) for tensor in node["inputs"]}:
            depends.update(int(tensor) for tensor in node["outputs"])
            names[node["index"]] = tensors.get(int(node["outputs"][0]), "")
            types[node["index"]] = node["op_name"]
    return names, types


def _input(job: Message) -> Any:
    """Noise, as the file takes it: how long an execution takes does not depend on what is in an image."""
    import numpy as np

    noise = np.random.RandomState(0).randint(0, 256, (1, *job["shape"])).astype(np.uint8)
    return tensor(noise, Feed(**job["feed"]))
