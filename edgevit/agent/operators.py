"""Where the time of a file goes: each operator, its kernel, and how long it takes."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from . import coreml_plan, integer_macs, litert_match, litert_profile
from .clock import WARMUP_SECONDS, since_ms, warm_up
from .feed import Feed, tensor
from .opened import coreml_label, litert_label, litert_threads, onnx_label, onnx_options
from .wire import Message

WARM_RUNS = 100


def profile(job: Message, progress: Callable[[Message], None]) -> Message:
    """Time every operator of a file.

    Args:
        job: `path`, `feed`, `shape` of an image, `threads`, `runs`, `unit` of Core ML. 0 runs only list the operators
            that a .tflite file has, without executing it.

    Returns:
        `operators` in execution order: of each `name`, `type`, `by` (what executed it) and `ms`, the mean of the
        middle half of its runs, `static_macs` and `dynamic_macs`, what of it is multiplied in integers for one image;
        `executed_by`; `runs`; `partitions` of LiteRT's delegate. Measuring each costs time itself. Core ML times none:
        of its operations there is the `cost` that it expects, a share of the whole, and it tells no types.

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
    """Of ONNX Runtime's profile: https://onnxruntime.ai/docs/performance/tune-performance/profiling-tools.html.

    A kernel that packs its weights before the first run has none among the inputs that the profile lists, so that
    shapes are those of a session which packs nothing.
    """
    packed, warm = _events(job, True)
    plain, _ = _events(dict(job, runs=1), False)
    found = of_events(packed, plain, warm, Feed(**job["feed"]).batch)
    return {"operators": found, "executed_by": onnx_label(), "runs": job["runs"]}


def _events(job: Message, as_ever: bool) -> tuple[list[Message], int]:
    """The profile of a session, and how many of its runs were to warm up; else one that packs no weights, once."""
    import onnxruntime

    options = onnx_options(job["threads"])
    options.enable_profiling = True
    if not as_ever:
        options.add_session_config_entry("session.disable_prepacking", "1")
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = os.path.join(folder, "p")
        session = onnxruntime.InferenceSession(job["path"], options, providers=["CPUExecutionProvider"])
        fed = {session.get_inputs()[0].name: _input(job)}
        warm, begin = 0, time.perf_counter()
        while as_ever and warm < WARM_RUNS and since_ms(begin) < WARMUP_SECONDS * 1e3:  # they go into it too
            session.run(None, fed)
            warm += 1
        for _ in range(job["runs"]):
            session.run(None, fed)
        with open(session.end_profiling()) as file:
            return json.load(file), warm


def of_events(events: list[Message], plain: list[Message], warm: int, batch: int = 1) -> list[Message]:
    """Operators of a profile of ONNX Runtime, in execution order; every run has one event of each.

    Args:
        plain: the same of one run in which every kernel has its weights among its inputs.
        warm: runs that do not count.
        batch: images in one run.
    """
    times: dict[str, list[float]] = {}
    first: dict[str, Message] = {}
    for node, event in _of_kernels(events):
        first.setdefault(node, event["args"])
        times.setdefault(node, []).append(event["dur"] / 1e3)
    shaped = {node: event["args"] for node, event in _of_kernels(plain)}
    macs = dict(zip(shaped, integer_macs.of_events(list(shaped.values()), batch)))
    return [
        dict(
            name=node, type=args["op_name"], by=args["provider"], ms=typical(times[node][warm:]), **macs[node]
        )
        for node, args in first.items()
    ]


def _of_kernels(events: list[Message]) -> Iterator[tuple[str, Message]]:
    behind = "_kernel_time"
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(behind):
            yield event["name"][: -len(behind)], event


def _tflite(job: Message) -> Message:
    """Of LiteRT's profile; an operator is called after the tensor that it computes."""
    names, types, macs = _operators_of(job["path"])
    if not job["runs"]:
        listed = [{"name": names[index], "type": types[index], "by": ""} for index in names]
        return {"operators": listed, "executed_by": litert_label(), "runs": 0}
    kernels = litert_profile.kernels(
        job["path"], _input(job).tobytes(), litert_threads(job["threads"]), job["runs"], warm_up
    )
    numbers = {index: number for number, index in enumerate(names)}
    # A node that is none of the file's stands for a delegate that does not tell its kernels.
    known = [(kernel.tag, numbers.get(kernel.node, -1)) for kernel in kernels]
    indices = list(names)
    found: list[dict[str, Any]] = []
    multiplied: set[int] = set()
    for kernel, number in zip(kernels, litert_match.match(known, [types[index] for index in indices])):
        index = indices[number]
        own = kernel.node in numbers
        ranges = "" if own or index in multiplied else integer_macs.ranges_of_xnnpack(kernel.tag)
        if ranges:
            multiplied.add(index)
        found.append(
            {
                "name": names[index],
                "type": types[index],
                "by": "LiteRT" if own else "XNNPACK " + kernel.tag,
                "ms": typical([us / 1e3 for us in kernel.us]),
                "static_macs": macs[index] if ranges == "static" else 0,
                "dynamic_macs": macs[index] if ranges == "dynamic" else 0,
            }
        )
    return {
        "operators": found,
        "executed_by": litert_label(),
        "runs": job["runs"],
        "partitions": _partitions(job["path"]),
    }


def typical(times: Sequence[float]) -> float:
    """Mean of the middle half: no outlier counts, and it is finer than the microseconds that runtimes tell."""
    ordered = sorted(times)
    cut = len(ordered) // 4
    middle = ordered[cut : len(ordered) - cut]
    return round(sum(middle) / len(middle), 6)


def _operators_of(path: str) -> tuple[dict[int, str], dict[int, str], dict[int, int]]:
    """Operators of a .tflite file that depend on its input, by index: tensor that it computes, type, MACs of products.

    Raises:
        NotImplementedError: this LiteRT does not list them.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_path=path, experimental_op_resolver_type=plain)
    if not hasattr(interpreter, "_get_ops_details"):
        raise NotImplementedError(litert_label() + " does not list the operators of a file")
    tensors = {int(detail["index"]): detail for detail in interpreter.get_tensor_details()}
    depends = {int(detail["index"]) for detail in interpreter.get_input_details()}
    names: dict[int, str] = {}
    types: dict[int, str] = {}
    macs: dict[int, int] = {}
    for node in interpreter._get_ops_details():
        inputs, outputs = ([int(tensor) for tensor in node[ends]] for ends in ("inputs", "outputs"))
        if depends & set(inputs):
            depends.update(outputs)
            index, kind = node["index"], node["op_name"]
            made = tensors.get(outputs[0], {"name": ""})
            names[index], types[index], macs[index] = made["name"], kind, 0
            if kind in integer_macs.TFLITE_PRODUCTS and not made["name"].startswith(
                integer_macs.OF_THE_IMAGE
            ):
                shapes = [tensors[end]["shape"].tolist() for end in (*inputs[:2], outputs[0])]
                macs[index] = integer_macs.of_tflite(kind, *shapes)
    return names, types, macs


def _partitions(path: str) -> int:
    """How many parts of a .tflite file the delegate executes: LiteRT adds an operator for each."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path)
    interpreter.allocate_tensors()
    return sum(node["op_name"] == "DELEGATE" for node in interpreter._get_ops_details())


def _input(job: Message) -> Any:
    """Noise, as the file takes it: how long an execution takes does not depend on what is in an image."""
    import numpy as np

    noise = np.random.RandomState(0).randint(0, 256, (1, *job["shape"])).astype(np.uint8)
    return tensor(noise, Feed(**job["feed"]))
