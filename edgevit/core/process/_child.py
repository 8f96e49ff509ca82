"""The other side of `worker.run`: one fresh process that calls one function.

Called as `python -m edgevit.core.process._child FOLDER PARENT_PID EVENT_FD`. The request is read from
`FOLDER/request.json`, the outcome is renamed into place as `FOLDER/result.json`.
"""

from __future__ import annotations

import ctypes
import faulthandler
import importlib
import json
import os
import resource
import signal
import sys
import tempfile
import threading
import traceback
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from edgevit.core._plain import from_plain, to_plain
from edgevit.core.disk.space import missing_space, written_by
from edgevit.core.errors import EdgevitError, StepMemoryError
from edgevit.core.process.sandbox import enter
from edgevit.core.progress import Emit, Event, event_to_plain

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15


def main(arguments: list[str]) -> None:
    folder, parent, event_fd = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    job = json.loads((folder / "request.json").read_text())
    isolation = None
    # Before there are threads, and before the kernel forgets whom we die with.
    if job["writable"] is not None:
        isolation = asdict(enter([folder, *map(Path, job["writable"])], folder))
    _die_with(parent)
    _be_called(job["step"])
    os.set_inheritable(event_fd, False)
    faulthandler.enable()
    _limit(job["address_space_bytes"])
    outcome = {**_call(job["function"], job["request"], _emitter(event_fd)), "isolation": isolation}
    temporary = folder / "result.json.tmp"
    try:
        temporary.write_text(json.dumps(outcome))
        temporary.replace(folder / "result.json")
    except OSError as error:  # not even that fits: the parent learns it from the code and the last line
        sys.stdout.flush()
        sys.stderr.write(f"cannot write to {folder.parent}: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(os.EX_IOERR)
    sys.stdout.flush()
    sys.stderr.flush()
    # Native libraries may crash while they are torn down; the result is already in place.
    os._exit(0)


def _call(function: str, request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Call `package.module:function` and turn whatever happens into plain data."""
    try:
        module, _, name = function.partition(":")
        step = getattr(importlib.import_module(module), name)
        kind = next(iter(get_type_hints(step).values()))
        found = step(
            from_plain(kind, request, "request")
            if is_dataclass(kind) and isinstance(kind, type)
            else request,
            emit,
        )
        result = to_plain(found) if is_dataclass(found) and not isinstance(found, type) else found
        json.dumps(result)  # what isn't plain data fails here, where its trace can still be reported
        return {"result": result}
    except EdgevitError as error:
        return _described(error)
    except MemoryError as error:
        return _described(_with_trace(StepMemoryError("the system gave no more memory"), error))
    except Exception as error:  # nothing may leave a step but as data: the parent names it
        full = missing_space(error, (Path(tempfile.gettempdir()), *written_by(request)))
        return _foreign(error) if full is None else _described(_with_trace(full, error))
    except SystemExit as error:  # a library or a user's file that calls sys.exit
        return _foreign(error)


def _described(error: EdgevitError) -> dict[str, object]:
    trace = "".join(traceback.format_exception(error))
    return {
        "error": {"class": type(error).__name__, "message": error.message, "hint": error.hint, "trace": trace}
    }


def _with_trace(error: EdgevitError, cause: BaseException) -> EdgevitError:
    error.__cause__ = cause
    return error


def _foreign(error: BaseException) -> dict[str, object]:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    name = type(error).__name__
    return {
        "foreign": {
            "last_line": f"{name}: {lines[0][:400]}" if lines else name,
            "trace": "".join(traceback.format_exception(error)),
        }
    }


def _emitter(fd: int) -> Emit:
    lock = threading.Lock()

    def emit(event: Event) -> None:
        data = json.dumps(event_to_plain(event)).encode() + b"\n"
        with lock:
            while data:
                data = data[os.write(fd, data) :]

    return emit


def _die_with(parent: int) -> None:
    """Ask the kernel to end this process when the parent ends; elsewhere than Linux, look every second."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_look_for, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it ended before we asked
        os._exit(1)


def _be_called(step: str) -> None:
    """Be seen under the step's name, cut to 15 bytes, where processes are listed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, step.encode()[:15], 0, 0, 0)


def _look_for(parent: int) -> None:
    pause = threading.Event()
    while os.getppid() == parent:
        pause.wait(1.0)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _limit(address_space_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = address_space_bytes if hard == resource.RLIM_INFINITY else min(address_space_bytes, hard)
        resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))


if __name__ == "__main__":
    main(sys.argv[1:])
