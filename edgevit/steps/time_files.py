"""The step that times the files of one target beside its fp32 file, in one process of this computer."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.agent import clock
from edgevit.core.errors import UnsupportedError
from edgevit.core.plugins import Runtime, Timing
from edgevit.core.process.cores import usable_cores
from edgevit.core.progress import Emit, Stage
from edgevit.core.runner import RunOptions
from edgevit.core.types import Preprocess
from edgevit.registries import RUNTIMES
from edgevit.steps import messages
from edgevit.steps.artifacts import image_size, plain_preprocess
from edgevit.steps.messages import Timed, TimeRequest

if TYPE_CHECKING:
    from edgevit.core.types import Pixels


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file to time, and what executes it; `preprocess` is used if the file carries none of its own."""

    path: Path
    runtime: Runtime
    preprocess: Preprocess | None = None


def measure(asked: TimeRequest, emit: Emit) -> Timed:
    """Time files, interleaved. Runs in a worker."""
    emit(Stage(f"timing {len(asked.paths)} files"))
    runtime = RUNTIMES.get(asked.runtime)
    image = _image(Path(asked.work) / messages.PIXELS, runtime, Path(asked.paths[0]))
    preprocess = asked.preprocess or plain_preprocess(image.shape[1:])
    files = tuple(Candidate(Path(path), runtime, preprocess) for path in asked.paths)
    return Timed(in_turn(files, image, asked.threads, asked.runs))


def in_turn(files: tuple[Candidate, ...], image: Pixels, threads: int, runs: int) -> tuple[Timing, ...]:
    """Time `runs` rounds after a warm-up; each round executes every file once, in turning order.

    The cold load is the time from opening the file to its first result. Preprocessing is not timed.
    With one thread on the CPU the processor time of each run is taken as well, to which others add nothing.

    Args:
        image: uint8 (1, height, width, 3).
        threads: 0 for all cores.

    Raises:
        UnsupportedError: a runtime whose time says nothing about a device.
    """
    for file in files:
        if not file.runtime.has_latency:
            by = file.runtime.executed_by(file.path)
            raise UnsupportedError(
                f"{file.path.name} is executed by {by}, whose time says nothing about a device",
                "profile it on a device whose runtime executes it, such as a Mac for Core ML",
            )
    used = threads or usable_cores()
    if files:  # the import of the runtime is the process's cost, not that of the file that comes first
        with files[0].runtime.open(files[0].path, _options(files[0], used)):
            pass
    with ExitStack() as stack:
        calls: list[Callable[[], None]] = []
        cold = []
        for file in files:
            begin = time.perf_counter()
            runner = stack.enter_context(file.runtime.open(file.path, _options(file, used)))
            prepared = runner.prepare(image)
            runner.invoke(prepared)
            cold.append(clock.since_ms(begin))
            calls.append(partial(runner.invoke, prepared))
        for call in calls:
            clock.warm_up(call)
        times = clock.rounds(calls, runs)
    return tuple(
        Timing(
            runs_ms=tuple(found.wall_ms),
            cold_load_ms=load,
            threads=used,
            cpu_ms=tuple(found.cpu_ms) if used == 1 and file.runtime.cpu_bound else (),
        )
        for file, found, load in zip(files, times, cold, strict=True)
    )


def _options(file: Candidate, threads: int) -> RunOptions:
    return RunOptions(threads=threads, preprocess=file.preprocess)


def _image(pixels: Path, runtime: Runtime, artifact: Path) -> Pixels:
    """The first evaluation image, or seeded noise of the size that the file asks for."""
    import numpy as np

    if pixels.exists():
        return np.array(np.load(pixels, mmap_mode="r")[:1])
    size = image_size(artifact, runtime.contents(artifact))
    return np.random.default_rng(0).integers(0, 256, (1, *size), dtype=np.uint8)
