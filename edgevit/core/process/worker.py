"""Run one function in a fresh process, with limits: models, converters and runtimes may do anything.

Only data crosses: a request and a result as JSON, events as JSON lines; arrays and graphs are files
whose paths stand in the request. The function has the signature

    def step(asked: Request, emit: Emit) -> Result

of dataclasses, which are plain data on the way, or of plain data itself.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgevit.core import errors
from edgevit.core.disk.space import full_place, storage_errors, written_by
from edgevit.core.errors import (
    EdgevitError,
    StepError,
    StepMemoryError,
    StepTimeoutError,
    StorageError,
    UsageError,
)
from edgevit.core.process._listen import Ending, Running, watch
from edgevit.core.process.forking import fork, step_environment
from edgevit.core.process.interrupt import shielded
from edgevit.core.process.sandbox import Sandbox
from edgevit.core.process.scratch import scratch
from edgevit.core.progress import Emit, Event, event_from_plain

# A tight address limit makes the imports of the converters spin instead of fail, so memory is
# limited by the resident size, and this is only what stops a runaway reservation.
_ADDRESS_BACKSTOP = 16 << 30

OnEvent = Emit


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """What one step may use.

    Attributes:
        timeout_s: wall clock; see `Job.patient`.
        max_memory_bytes: resident memory of its process group.
        threads: 0 for all cores.
        sandbox: takes network and writing from it, as far as the system allows; the result then says under
            `isolation` what was done. None for a step that runs the user's own code or may download.
    """

    timeout_s: float = 3600.0
    max_memory_bytes: int = 8 << 30
    threads: int = 0
    sandbox: Sandbox | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One call of `run`: `step` is what messages call it, `function` is `package.module:function`.

    Attributes:
        file: the converted file that the step executes, if that is all it does: what happens is its doing.
        patient: only time without progress counts against its limit: what a large model and many images take is not
            known beforehand. Not for steps that execute a file of unknown origin, which decides how long that takes.
        forked: it works with PyTorch, so that it may start with that imported (see `forking`).
    """

    step: str
    function: str
    request: Mapping[str, object]
    limits: ProcessLimits = ProcessLimits()
    on_event: OnEvent | None = None
    file: str = ""
    patient: bool = False
    forked: bool = False


def run(
    step: str,
    function: str,
    request: Mapping[str, object],
    limits: ProcessLimits = ProcessLimits(),
    on_event: OnEvent | None = None,
    file: str = "",
) -> dict[str, object]:
    """Call `function(request, emit)` in a fresh process and return its result.

    Raises:
        EdgevitError: whatever the function raised, as the same class.
        StepTimeoutError, StepMemoryError: a limit was broken; the whole process group was ended.
        StorageError: no space for temporary files.
        StepError: a signal ended it, or a foreign exception, of which the trace is a note (`-v`).
        KeyboardInterrupt: Ctrl-C; the process group was ended first.
    """
    return run_job(Job(step, function, request, limits, on_event, file))


def run_job(job: Job) -> dict[str, object]:
    """The same for a job."""
    return _run(job, threading.Event())


def run_many(jobs: Sequence[Job], parallel: int) -> tuple[dict[str, object] | EdgevitError, ...]:
    """Run several jobs, at most `parallel` side by side; one that fails does not stop the others.

    `on_event` of the jobs is never called by two of them at once.

    Returns:
        For each job its result, or the error that `run` would have raised.
    """
    cancel, lock = threading.Event(), threading.Lock()

    def one(job: Job) -> dict[str, object] | EdgevitError:
        def locked(event: Event) -> None:
            with lock:
                if job.on_event is not None:
                    job.on_event(event)

        try:
            return _run(replace(job, on_event=locked), cancel)
        except EdgevitError as error:
            return error

    pool = ThreadPoolExecutor(max(1, parallel), thread_name_prefix="edgevit-worker")
    try:
        futures = [pool.submit(one, job) for job in jobs]
        return tuple(future.result() for future in futures)
    except BaseException:
        cancel.set()
        raise
    finally:
        with shielded():
            pool.shutdown(wait=True, cancel_futures=True)


def trace_of(error: EdgevitError) -> str:
    """Where a step failed, and its last output, of an error that `run` raised; "" where nothing is known."""
    return "\n".join(getattr(error, "__notes__", ()))


def _run(job: Job, cancel: threading.Event) -> dict[str, object]:
    _check_here()
    with scratch() as folder:
        request = {
            "step": job.step,
            "function": job.function,
            "request": dict(job.request),
            "address_space_bytes": _ADDRESS_BACKSTOP + job.limits.max_memory_bytes,
            "writable": None if job.limits.sandbox is None else job.limits.sandbox.writable,
        }
        with storage_errors(folder, temporary=True):
            (folder / "request.json").write_text(json.dumps(request))
        ending = watch(
            lambda events, text: _start(job, str(folder), events, text),
            job.limits.timeout_s,
            job.limits.max_memory_bytes,
            lambda line: (
                job.on_event(event_from_plain(json.loads(line))) if job.on_event is not None else None
            ),
            cancel,
            progress_counts=job.patient,
        )
        try:
            outcome = json.loads((folder / "result.json").read_text())
        except FileNotFoundError:
            outcome = {}
        if "result" in outcome:
            result: dict[str, object] = outcome["result"]
            return result if outcome["isolation"] is None else {**result, "isolation": outcome["isolation"]}
        # What a half-written file left is still there, so that a full disk can be seen.
        raise _failure(job, ending, outcome, folder)


def _start(job: Job, folder: str, events: int, text: int) -> Running:
    """Forked from a process that has the libraries, if there is one and it is of use, else a new process."""
    environment = step_environment(job.limits.threads, folder)
    forked = fork(environment, folder, job.limits.threads, events, text) if job.forked else None
    # -P: a file torch.py in the folder where the user stands must not be imported.
    command = [
        sys.executable,
        "-P",
        "-m",
        "edgevit.core.process._child",
        folder,
        str(os.getpid()),
        str(events),
    ]
    return forked or subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=text,
        stderr=text,  # stdout goes where stderr goes: it belongs to the parent
        env=environment,
        pass_fds=(events,),
        start_new_session=True,
    )


def _check_here() -> None:
    """Libraries that look where they are started crash without a word where that folder was removed."""
    try:
        Path.cwd()
    except OSError as error:
        raise UsageError(
            f"the working directory is gone: {error.strerror}", "change to a folder that exists"
        ) from error


def _failure(job: Job, ending: Ending, outcome: Mapping[str, Any], folder: Path) -> EdgevitError:
    """The typed error for a step that gave no result; what only `-v` shows is attached as notes."""
    found: EdgevitError
    trace = ""
    if "error" in outcome:
        failure = outcome["error"]
        found = getattr(errors, failure["class"], StepError)(failure["message"], failure["hint"])
        if isinstance(found, StepError) and not found.message.startswith(job.step):
            found = type(found)(f"{job.step}: {found.message}", found.hint)
        trace = failure["trace"]
    elif "foreign" in outcome:
        found = StepError(
            f"{job.step} failed: {outcome['foreign']['last_line']}", "run again with -v for the whole trace"
        )
        trace = outcome["foreign"]["trace"]
    elif ending.broken == "timeout":
        found = StepTimeoutError(
            f"{job.step} took longer than {job.limits.timeout_s:g} s"
            + (" without progress" if job.patient else "")
            + " and was stopped"
            + _doing(job, "takes its runtime that long"),
            _or_again(job, "allow more with --timeout SECONDS"),
        )
    elif ending.broken == "memory":
        fewer = "" if job.file else ", or convert fewer targets at a time with --jobs 1"
        found = StepMemoryError(
            f"{job.step} used {ending.peak_bytes / 2**30:.2f} GB of memory, more than the limit of "
            f"{job.limits.max_memory_bytes / 2**30:.2f} GB, and was stopped"
            + _doing(job, "makes its runtime take that much"),
            _or_again(job, "allow more with --max-memory GB" + fewer),
        )
    elif (full := full_place((folder, *written_by(job.request)))) is not None:
        found = StorageError(f"{job.step}: {full.message}", full.hint)
    elif ending.returncode == os.EX_IOERR and ending.last_lines:
        found = StorageError(f"{job.step}: {ending.last_lines[-1]}", "free some space, or set TMPDIR")
    else:
        found = StepError(
            f"{job.step} crashed: {_ended_by(ending)}" + _doing(job, "makes its runtime crash"),
            _or_again(job, "run again with -v for its last output"),
        )
    if trace:
        found.add_note(trace.rstrip())
    if ending.last_lines:
        found.add_note("last output of the step:\n" + "\n".join(ending.last_lines))
    return found


def _doing(job: Job, what: str) -> str:
    return f": the file {job.file} {what}" if job.file else ""


def _or_again(job: Job, hint: str) -> str:
    """A model of normal size needs none of it, so that a damaged file is the likelier reason."""
    return f"take the file from its source anew, or convert it again; {hint}" if job.file else hint


def _ended_by(ending: Ending) -> str:
    if ending.returncode >= 0:
        return f"its process left with code {ending.returncode} and no result"
    number = -ending.returncode
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    killed = ", perhaps by the system for lack of memory" if number == signal.SIGKILL else ""
    return f"its process was ended by {name} ({signal.strsignal(number)}){killed}"
