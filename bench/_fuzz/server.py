"""Read mutants of one kind, each in a fork of a process that has imported everything already."""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final, Literal

from bench._fuzz.kinds import Kind
from bench._fuzz.mutate import mutate

Verdict = Literal[
    "read", "input error", "could not", "crash", "memory", "hang", "foreign", "parent crash", "code run"
]
BAD: Final[tuple[Verdict, ...]] = ("hang", "foreign", "parent crash", "code run")

WALL_S: Final = 60.0
_CPU_S: Final = 20
_MEMORY: Final = 3 << 30  # on top of what the process has mapped when it begins
_PARENTS_ERRORS: Final = ("crash", "foreign", "memory", "hang")
# What a reader of files never does. Each is reported by Python before it happens.
_FORBIDDEN: Final = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "subprocess.Popen",
    "socket.connect",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What reading one mutant came to.

    Attributes:
        index: its number; with kind and seed it makes the same mutant again.
        file: which of the kind's files was changed.
        said: the message, the exception, or the signal.
    """

    kind: str
    index: int
    file: str
    verdict: Verdict
    said: str


def run(
    kind: Kind,
    seeds: Path,
    place: Path,
    count: int,
    seed: int,
    keep: Path | None = None,
    wall_s: float = WALL_S,
) -> Iterator[Outcome]:
    """Make and read `count` mutants of one kind; to be called in a process of its own.

    Args:
        seeds: the folder of valid files, which is copied to `place` and changed there, one file at a time.
        keep: where mutants with a bad outcome are copied to.
        wall_s: a reader that takes longer hangs.
    """
    shutil.copytree(seeds, place)
    canary = place.parent / "canary"
    _prepare(kind, place)
    for index in range(count):
        random = Random(f"{seed} {kind.name} {index}")
        name = random.choice(kind.files)
        path = place / name
        valid = path.read_bytes()
        path.write_bytes(mutate(random, name, valid, canary))
        verdict, said = _read(kind, place, wall_s)
        if canary.exists():
            verdict, said = "code run", "the planted pickle was loaded"
            canary.unlink()
        if keep is not None and verdict in (*BAD, "crash", "memory"):
            kept = keep / f"{kind.name}-{seed}-{index}-{verdict.replace(' ', '-')}-{path.name}"
            kept.write_bytes(path.read_bytes())
        path.write_bytes(valid)
        yield Outcome(kind.name, index, name, verdict, said)


def _prepare(kind: Kind, place: Path) -> None:
    """Read the valid file once in this process, so that its forks have everything imported."""
    kept = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    try:
        told = _outcome(kind, place)
    finally:
        for stream, before in zip((1, 2), kept, strict=True):
            os.dup2(before, stream)
    if "result" not in told:
        raise RuntimeError(f"the valid file is not read: {told}")
    gc.collect()
    gc.freeze()


def _read(kind: Kind, place: Path, wall_s: float) -> tuple[Verdict, str]:
    """Fork, read, and say how that ended."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receive)
        _in_child(kind, place, send)
    os.close(send)
    told = _listen(receive, child, wall_s)
    os.close(receive)
    _, status, usage = os.wait4(child, 0)
    verdict, said = _verdict(told, status, usage.ru_utime + usage.ru_stime)
    if kind.in_parent and verdict in _PARENTS_ERRORS:
        return "parent crash", said
    return verdict, said


def _in_child(kind: Kind, place: Path, send: int) -> None:
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S + 5))
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + _MEMORY, mapped + _MEMORY))
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        done: list[str] = []
        _watch(done, place)
        told = _outcome(kind, place)
        if done:
            told = {"ran": done[0]}
        data = json.dumps(told).encode()
        while data:
            data = data[os.write(send, data) :]
    except Exception as error:  # noqa: BLE001  of the harness itself
        os.write(send, json.dumps({"foreign": {"last_line": f"harness: {error!r}"}}).encode())
    os._exit(0)


def _watch(done: list[str], place: Path) -> None:
    """Note what no reader does: start a program, connect, write outside of its folder."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _FORBIDDEN:
            done.append(f"{event} {str(arguments)[:200]}")
        elif event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            where = str(arguments[0])
            if (
                not where.startswith((str(place.parent), tempfile.gettempdir(), "/dev/"))
                and "__pycache__" not in where
            ):
                done.append(f"wrote {where[:200]}")

    sys.addaudithook(hook)


def _outcome(kind: Kind, place: Path) -> dict[str, Any]:
    """What the worker of the command would tell its parent, by the worker's own code."""
    from edgevit.core.process._child import _call

    for function, request in kind.reads(place):
        told = _call(function, request, lambda event: None)
        if "result" not in told:
            return told
    return {"result": True}


def _listen(receive: int, child: int, wall_s: float) -> bytes:
    told, until = b"", time.monotonic() + wall_s
    while True:
        ready, _, _ = select.select([receive], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            os.kill(child, signal.SIGKILL)
            return b"hang"
        data = os.read(receive, 1 << 16)
        if not data:
            return told
        told += data


def _verdict(told: bytes, status: int, seconds: float) -> tuple[Verdict, str]:
    from edgevit.core import errors

    if told == b"hang":
        return "hang", "no answer in time"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number in (signal.SIGXCPU, signal.SIGKILL) and seconds > _CPU_S - 1:
            return "hang", f"{seconds:.0f} s of CPU"
        return "crash", signal.Signals(number).name
    found = json.loads(told) if told else {"foreign": {"last_line": "the process left without a word"}}
    if "ran" in found:
        return "code run", str(found["ran"])
    if "result" in found:
        return "read", ""
    if "foreign" in found:
        return "foreign", str(found["foreign"]["last_line"])
    name, message = found["error"]["class"], str(found["error"]["message"])
    if name == "StepMemoryError":
        return "memory", message
    kind = getattr(errors, name, errors.EdgevitError)
    return ("input error" if kind.exit_code == 2 else "could not"), f"{name}: {message}"
