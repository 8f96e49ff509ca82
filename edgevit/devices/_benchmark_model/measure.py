"""Measure files with benchmark_model, from an empty folder on the phone to an empty folder."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from edgevit.core.errors import DeviceError, DeviceLostError, UnsupportedError
from edgevit.core.place import Place
from edgevit.core.process.interrupt import shielded
from edgevit.devices import _android_state
from edgevit.devices._benchmark_model.blocks import blocks
from edgevit.devices._benchmark_model.fixed_clocks import fixed_clocks
from edgevit.devices._benchmark_model.inside import look_inside
from edgevit.devices._benchmark_model.process import PID, Runner
from edgevit.devices._benchmark_model.store import put_once
from edgevit.devices._benchmark_model.tool import prepare
from edgevit.devices._benchmark_model.types import ToolFile, ToolMeasured, ToolRun, ToolSettings
from edgevit.devices._shell import quoted, run

_SECONDS: Final = 60.0


def measure(place: Place, program: Path, files: Sequence[ToolFile], settings: ToolSettings) -> ToolRun:
    """Look inside each file, and then time in turn those that the program could execute.

    Raises:
        InputError: `program` is none.
        UnsupportedError: a file that is not TFLite.
        DeviceError: the program does not run there, or the cores cannot be bound.
        DeviceLostError: the connection broke.
    """
    for file in files:
        if file.path.suffix != ".tflite":
            raise UnsupportedError(
                f"benchmark_model executes .tflite files, not {file.path.name}",
                "a phone executes others with Python (Termux): see Android in docs/devices.md",
            )
    printed = run(place, _android_state.FINGERPRINT, _SECONDS).stdout
    fingerprint, abis = _android_state.fingerprint(printed)
    with _tidied(place, settings.keep) as folder:
        tool = prepare(place, program, abis)
        runner = Runner(place, tool, folder, settings, fingerprint.cores)
        runner.check_binding()
        paths = [put_once(place, file.path, "model.tflite") for file in files]
        found = [_tried(runner, path, file) for path, file in zip(paths, files, strict=True)]
        good = [index for index, one in enumerate(found) if not one.reason]
        why = ""
        if good:
            with fixed_clocks(place) as why:
                timed = blocks(runner, [paths[index] for index in good])
            for index, one in zip(good, timed, strict=True):
                found[index] = replace(found[index], timed=one)
    refused = (f"fixed-performance mode was refused: {why}",) if why else ()
    return ToolRun(tool, fingerprint, tuple(found), refused)


def _tried(runner: Runner, path: str, file: ToolFile) -> ToolMeasured:
    try:
        return ToolMeasured(inside=look_inside(runner, path, file))
    except DeviceLostError:
        raise
    except DeviceError as error:
        return ToolMeasured(reason=error.message)


@contextmanager
def _tidied(place: Place, keep: bool) -> Iterator[str]:
    """A folder of this run on the device; at the end nothing runs there, and nothing lies there but what is kept."""
    folder = f"{place.root}/run-{secrets.token_hex(6)}"
    run(place, quoted(["mkdir", "-p", folder]), _SECONDS)
    gone = [folder] if keep else [folder, f"{place.root}/files"]
    pid = quoted([f"{folder}/{PID}"])
    script = f"[ ! -f {pid} ] || kill $(cat {pid})\n{quoted(['rm', '-rf', *gone])}\n{quoted(['rmdir', place.root])}"
    try:
        yield folder
    finally:
        with shielded(), contextlib.suppress(DeviceError):  # a phone that is gone keeps it
            run(place, script, _SECONDS)
