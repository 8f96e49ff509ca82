"""Open a LiteRT interpreter with XNNPACK and see what the delegate took."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from edgevit.core.errors import InputError
from edgevit.core.foreign import brief
from edgevit.core.require import require
from edgevit.runtimes._litert_file import AGAIN, EXTRA, TfliteFile


def open_interpreter(content: bytes, threads: int, path: Path) -> Any:
    """An interpreter with its memory allocated; `threads` 0 for all cores of this process.

    Raises:
        InputError: LiteRT refuses the file.
    """
    litert = require("ai_edge_litert.interpreter", EXTRA)
    count = (
        threads or len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else threads or os.cpu_count()
    )
    try:
        interpreter = litert.Interpreter(model_content=content, num_threads=count)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise InputError(f"LiteRT cannot load {path}: {brief(error)}", AGAIN) from error
    return interpreter


def partitions(interpreter: Any, file: TfliteFile) -> list[set[int]]:
    """Indices of the file's operators that each delegate node executes in their place.

    The interpreter appends a node per partition, which names its ends; the operators between them are found
    by walking back from its outputs to its inputs.
    """
    makers = {tensor: index for index, operator in enumerate(file.operators) for tensor in operator.outputs}
    found = []
    for node in interpreter._get_ops_details():
        if node["op_name"] != "DELEGATE":
            continue
        ends = {int(t) for t in node["inputs"]}
        waiting = [int(t) for t in node["outputs"]]
        inside: set[int] = set()
        while waiting:
            maker = makers.get(waiting.pop())
            if maker is not None and maker not in inside:
                inside.add(maker)
                waiting += [t for t in file.operators[maker].inputs if t not in ends]
        found.append(inside)
    return found
