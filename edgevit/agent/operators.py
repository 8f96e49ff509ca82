"""Where the time of a file goes: each operator, its kernel, and how long it takes."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from typing import Any

from .clock import warm_up
from .feed import Feed, tensor
from .opened import onnx_label, onnx_options
from .wire import Message


def profile(job: Message, progress: Callable[[Message], None]) -> Message:
    """Time every operator of a file.

    Args:
        job: `path`, `feed`, `shape` of an image, `threads`, `runs`.

    Returns:
        `operators` in execution order: of each `name`, `type`, `by` (what executed it) and `ms`, the median of its
        runs; `executed_by`; `runs`. Measuring each costs time itself: together they take longer than the file does.

    Raises:
        NotImplementedError: the runtime tells no such times.
    """
    suffix = job["path"].rsplit(".", 1)[-1]
    if suffix == "onnx":
        return _onnx(job)
    raise NotImplementedError("no operator times of a file called " + job["path"])


def _onnx(job: Message) -> Message:
    """Of ONNX Runtime's profile: https://onnxruntime.ai/docs/performance/tune-performance/profiling-tools.html."""
    import numpy as np
    import onnxruntime

    options = onnx_options(job["threads"])
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = os.path.join(folder, "p")
        session = onnxruntime.InferenceSession(job["path"], options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        noise = np.random.RandomState(0).randint(0, 256, (1, *job["shape"])).astype(np.uint8)
        fed = {name: tensor(noise, Feed(**job["feed"]))}
        warm = warm_up(lambda: session.run(None, fed))
        for _ in range(job["runs"]):
            session.run(None, fed)
        with open(session.end_profiling()) as file:
            events = json.load(file)
    kernels = [
        event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
    ]
    times: dict[str, list[float]] = {}
    first: dict[str, Message] = {}
    for event in kernels:
        node = event["name"][: -len("_kernel_time")]
        first.setdefault(node, event["args"])
        times.setdefault(node, []).append(event["dur"] / 1e3)
    found: list[dict[str, Any]] = []
    for node, args in first.items():
        runs = sorted(times[node][warm:])  # every run has one event of each operator
        found.append(
            {
                "name": node,
                "type": args["op_name"],
                "by": args["provider"],
                "ms": round(runs[len(runs) // 2], 5),
            }
        )
    return {"operators": found, "executed_by": onnx_label(), "runs": job["runs"]}
