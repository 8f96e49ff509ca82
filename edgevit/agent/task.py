"""One task in a process of its own: time files, or execute one on images. A crash here is a message there."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import threading
import time
from typing import Any, Callable

from . import clock, operators
from .feed import Feed
from .opened import Opened, open_file
from .state import read
from .wire import Message, Sender, private_stdout

Progress = Callable[[Message], None]
# Exit status of a task whose error is told in a message.
TOLD = 3


class DamagedError(Exception):
    """A file is not what was sent."""


def main(nonce: str) -> None:
    """Do the task that the one line on standard input names; leave when whoever sent it is gone."""
    sender = Sender(private_stdout(), nonce)
    job = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_leave_with_the_parent, daemon=True).start()
    try:
        if job.get("cpus"):
            bind(job["cpus"])
        answer = TASKS[job["task"]](job, lambda told: sender.send({"progress": told}))
    except DamagedError as error:
        sender.send({"error": {"kind": "damaged", "message": str(error)}})
        sys.exit(TOLD)
    except ImportError as error:
        sender.send({"error": {"kind": "missing", "message": str(error)}})
        sys.exit(TOLD)
    except Exception as error:  # runtimes raise a dozen unrelated classes
        text = f"{type(error).__name__}: {str(error)[:2000]}"
        sender.send({"error": {"kind": "failed", "message": text}})
        sys.exit(TOLD)
    answer["peak_rss_bytes"] = peak_rss()
    sender.send({"answer": answer})


def time_files(job: Message, progress: Progress) -> Message:
    """Open every file, warm each up, and run them in turn on one image.

    Args:
        job: `files` (each with `path`, `feed`, `shape` of an image (height, width, channels), `classes`), `threads`,
            `runs`, `seconds`, `unit`.

    Returns:
        `files`: of each `load_ms`, `load_warm_ms` to open it again where the runtime keeps something of the first
        time, `first_ms` of the first inference, `wall_ms` and `cpu_ms` of each run, `warm_up_runs`, `executed_by`.
    """
    found: list[dict[str, Any]] = []
    calls = []
    for file in job["files"]:
        _import_runtime(file["path"])
        begin = time.perf_counter()
        opened = _open(file, job)
        load_ms = clock.since_ms(begin)
        prepared = opened.prepare(_noise(file["shape"]))
        begin = time.perf_counter()
        opened.invoke(prepared)
        first_ms = clock.since_ms(begin)
        entry: dict[str, Any] = {
            "load_ms": load_ms,
            "first_ms": first_ms,
            "executed_by": opened.label,
            "load_warm_ms": None,
        }
        if opened.again is not None:
            begin = time.perf_counter()
            opened.again()
            entry["load_warm_ms"] = clock.since_ms(begin)
        found.append(entry)
        calls.append(_call(opened, prepared))
    for entry, call in zip(found, calls):
        entry["warm_up_runs"] = clock.warm_up(call)
    progress({"stage": "timing"})
    for entry, times in zip(found, clock.rounds(calls, job["runs"], job.get("seconds", 0.0))):
        entry["wall_ms"] = [round(value, 4) for value in times.wall_ms]
        entry["cpu_ms"] = [round(value, 4) for value in times.cpu_ms]
    return {"files": found}


def execute(job: Message, progress: Progress) -> Message:
    """Execute one file on chunks of images.

    Args:
        job: `path`, `feed`, `classes`, `threads`, `unit`, and `chunks`: of each `pixels`, a .npy with uint8
            (N, height, width, channels), its `sha256` where it may still be on its way, and `out`, the .npz that gets
            each output as (N, ...) in the file's order.

    Returns:
        `executed_by`, `seconds`. Each chunk is told as it is done, with the digest of its `out`.
    """
    import numpy as np

    opened = _open(job, job)
    batch = Feed(**job["feed"]).batch
    begin = time.perf_counter()
    for number, chunk in enumerate(job["chunks"]):
        if chunk["sha256"]:
            _wait_for(chunk["pixels"], chunk["sha256"])
        pixels = np.load(chunk["pixels"], mmap_mode="r", allow_pickle=False)
        rows: list[list[Any]] = []
        for start in range(0, len(pixels), batch):
            some = np.array(pixels[start : start + batch])
            opened.invoke(opened.prepare(some))
            values = opened.outputs()
            rows = rows or [[] for _ in values]
            for row, value in zip(rows, values):
                row += (
                    [np.array(value)]
                    if batch == 1
                    else [np.array(value[i : i + 1]) for i in range(len(some))]
                )
        stacked = [np.stack([v[0] if v.ndim and v.shape[0] == 1 else v for v in row]) for row in rows]
        with open(chunk["out"], "wb") as file:
            np.savez(file, *stacked)
        progress({"chunk": number, "images": len(pixels), "sha256": sha256(chunk["out"])})
    return {"executed_by": opened.label, "seconds": time.perf_counter() - begin}


def _wait_for(path: str, digest: str) -> None:
    """Until a file is there; it gets its name when all of it has arrived.

    Raises:
        DamagedError: another one arrived.
    """
    while not os.path.exists(path):
        time.sleep(0.005)
    if sha256(path) != digest:
        raise DamagedError(os.path.basename(path) + " arrived damaged")


def bind(cpus: list[int]) -> None:
    """Keep this process to some cores.

    Raises:
        NotImplementedError: the system binds no processes, as macOS.
        ValueError: there is a core that it has not.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise NotImplementedError("this system binds no process to cores; leave --cpus out")
    there = os.sched_getaffinity(0)
    missing = sorted(set(cpus) - there)
    if missing:
        raise ValueError(f"cores {missing} cannot be used here, those that can are {sorted(there)}")
    os.sched_setaffinity(0, cpus)


def sha256(path: str) -> str:
    """Digest of a file in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while True:
            piece = file.read(1 << 20)
            if not piece:
                return digest.hexdigest()
            digest.update(piece)


def peak_rss() -> int:
    """Most memory in bytes that this process has held resident; 0 where nothing says so."""
    found = re.search(r"VmHWM:\s+(\d+) kB", read("/proc/self/status"))
    if found:
        return int(found.group(1)) * 1024
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _open(file: Message, job: Message) -> Opened:
    feed = Feed(**file["feed"])
    return open_file(file["path"], feed, job["threads"], job.get("unit", "all"), file.get("classes", ()))


def _import_runtime(path: str) -> None:
    """What importing costs is the process's, not the file's."""
    suffix = path.rsplit(".", 1)[-1]
    if suffix == "onnx":
        import onnxruntime  # noqa: F401
    elif suffix == "tflite":
        import ai_edge_litert.interpreter  # noqa: F401
    elif suffix == "mlpackage":
        import coremltools  # noqa: F401


def _call(opened: Opened, prepared: Any) -> Callable[[], None]:
    return lambda: opened.invoke(prepared)


def _noise(shape: list[int]) -> Any:
    """One image (1, height, width, channels): how long an execution takes does not depend on what is in it."""
    import numpy as np

    return np.random.RandomState(0).randint(0, 256, (1, *shape)).astype(np.uint8)


def _leave_with_the_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


TASKS: dict[str, Callable[[Message, Progress], Message]] = {
    "time": time_files,
    "execute": execute,
    "operators": operators.profile,
}
