"""Where the time of a conversion goes: seconds of each stage, and the functions of one step.

    python -m bench.where_time_goes
    python -m bench.where_time_goes --functions 40 -- demo --to onnx --precision w8a8
    python -m bench.where_time_goes --decide -- FILE.py:model --precision w8a8 --calibrate images.npz

Behind `--` stand the arguments of `edgevit convert`; left out, the demo in fp16 and w8a8 for all targets. The
preparing step runs within this process, with one thread, and is measured by the processor's clock, so that other
processes do not change its figures by much. All other steps run as they always do, and show the wall clock.

--step "converting to tflite" measures another step instead, by how the name begins that errors call it.
--decide stops behind the step that is measured. Naming functions makes a step that is mostly Python several times as
slow: --functions 0 leaves that out, for the seconds of its stages.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

from edgevit.core import progress
from edgevit.core.process import _child, worker
from edgevit.core.progress import Silent

CONVERSION: Final = ("demo", "--precision", "fp16,w8a8")


class Stages(Silent):
    """Seconds of the stages that a flow tells of, by the wall clock."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._name, self._since = "starting", time.perf_counter()

    def stage(self, name: str, total: int | None = None) -> None:
        """Begin a stage, which ends the one before."""
        del total
        now = time.perf_counter()
        self.seconds[self._name] = self.seconds.get(self._name, 0.0) + now - self._since
        self._name, self._since = name, now


class Enough(BaseException):
    """The step has ended, and nothing else was asked for."""


def main() -> int:
    os.environ["EDGEVIT_CACHE"] = "off"  # what is measured is made, not remembered
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument(
        "--functions",
        type=int,
        default=25,
        help="how many functions to name; 0 measures none, which costs no time",
    )
    cli.add_argument("--step", default="preparing ", help="how the name of the step begins that is measured")
    cli.add_argument("--decide", action="store_true", help="stop behind the step")
    cli.add_argument("--profile", type=Path, help="write the profile of the step there")
    cli.add_argument("conversion", nargs="*", default=CONVERSION)
    asked = cli.parse_args()
    told, inside = Stages(), cProfile.Profile(time.process_time)
    stages: dict[str, float] = {}
    run = worker._run

    def run_here(job: worker.Job, cancel: Event) -> dict[str, object]:
        if not job.step.startswith(asked.step):
            return run(job, cancel)
        current = ["loading"]
        since = [time.process_time()]

        def emit(event: progress.Event) -> None:
            if job.on_event is not None and not isinstance(event, progress.Advance):
                job.on_event(event)
            if isinstance(event, progress.Stage):
                now = time.process_time()
                stages[current[0]] = stages.get(current[0], 0.0) + now - since[0]
                current[0], since[0] = event.name, now

        begin = time.process_time()
        given = (job.function, dict(job.request), emit)
        outcome = inside.runcall(_child._call, *given) if asked.functions else _child._call(*given)
        emit(progress.Stage("", None))
        stages["all"] = time.process_time() - begin
        if "result" not in outcome:
            raise SystemExit(f"{job.step} failed: {outcome}")
        if asked.decide:
            raise Enough
        found: dict[str, object] = outcome["result"]
        return found

    worker._run = run_here
    with tempfile.TemporaryDirectory() as folder, suppress(Enough):
        _convert([*asked.conversion, "--output", str(Path(folder) / "out")], told)
    told.stage("")
    print("| stage of the step | CPU s |\n| --- | --- |")
    for name, seconds in stages.items():
        print(f"| {name} | {seconds:.1f} |")
    print("\n| stage | wall s |\n| --- | --- |")
    for name, seconds in told.seconds.items():
        if name not in stages and seconds >= 0.05:
            print(f"| {name} | {seconds:.1f} |")
    if asked.profile:
        inside.dump_stats(asked.profile)
    if asked.functions:
        print()
        pstats.Stats(inside, stream=sys.stdout).sort_stats("tottime").print_stats(asked.functions)
    return 0


def _convert(arguments: list[str], told: Stages) -> None:
    """As the command line does, but told to `told`."""
    from edgevit.cli import main as command_line
    from edgevit.report import progress as shown

    @contextmanager
    def opened(*args: object, **kwargs: object) -> Iterator[Stages]:
        yield told

    shown.open_progress = opened
    sys.argv = ["edgevit", "convert", *arguments, "--quiet"]
    try:
        command_line()
    except SystemExit as ended:
        if ended.code:
            raise


if __name__ == "__main__":
    raise SystemExit(main())
