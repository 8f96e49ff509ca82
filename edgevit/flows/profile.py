"""`edgevit profile`: how long files take on a device, and where the time goes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgevit.core._plain import to_plain
from edgevit.core.disk.whole_files import write_atomic
from edgevit.core.errors import UnsupportedError
from edgevit.core.precisions import Precision
from edgevit.core.progress import Progress
from edgevit.core.results.answer import Answer
from edgevit.core.results.profile import DeviceProfile, FileProfile
from edgevit.core.settings.recipe import Recipe
from edgevit.devices.runtimes import lacks
from edgevit.devices.session import Session, persist
from edgevit.flows._devices.describe import describe
from edgevit.flows._devices.measure import Options, ToMeasure, measure
from edgevit.flows._devices.measure_by_tool import measure_by_tool
from edgevit.flows._devices.sessions import session_on, transport_of
from edgevit.flows._devices.tables import table_of_several, tables_of_one
from edgevit.flows._environment import environment
from edgevit.flows._gate.places import check_places
from edgevit.report.device import render
from edgevit.steps.artifacts import FoundArtifact, find_artifacts
from edgevit.validate import device_latency


@dataclass(frozen=True, slots=True)
class ProfileRequest:
    """What to measure besides the file.

    Attributes:
        device: where, as the user typed it.
        runner: LiteRT's benchmark_model, which executes the files in place of the agent.
        keep: what was put on the device stays for the next time.
        html: where to write the page of the device.
    """

    device: str = "local"
    runs: int = 50
    seconds: float = 0.0
    cpus: tuple[int, ...] = ()
    unit: str = "all"
    keep: bool = False
    runner: Path | None = None
    html: Path | None = None


def profile(path: Path, asked: ProfileRequest, recipe: Recipe, progress: Progress) -> Answer:
    """Time one file, or all files of a bundle side by side; of `recipe` limits and threads count.

    Raises:
        UsageError: an unknown device.
        UnsupportedError: the device executes none of the files.
        DeviceError: it cannot be reached, or not measured.
    """
    transport_of(asked.device)
    found = find_artifacts(path)
    if asked.html is not None:
        check_places({"the page": asked.html}, path, {})
    options = Options(asked.runs, asked.seconds, recipe.threads, asked.cpus, asked.unit, recipe.timeout)

    def work(session: Session) -> DeviceProfile:
        notes = device_latency.warnings(session.fingerprint, session.state())
        for note in notes:
            progress.warn(f"{asked.device}: {note}")
        why_not = {file.path: lacks(session.fingerprint, file.path.suffix[1:]) for file in found}
        able = tuple(file for file in found if not why_not[file.path])
        measured = iter(measure(session, _described(path, able, recipe), options, progress))
        files = tuple(
            next(measured)
            if not why_not[file.path]
            else FileProfile(_name(path, file), file.target, reason=why_not[file.path])
            for file in found
        )
        return DeviceProfile(asked.device, session.fingerprint, files, notes)

    if asked.runner is not None:
        files = _described(path, found, recipe)
        done = measure_by_tool(asked.device, asked.runner, files, options, asked.keep, progress)
    else:
        progress.stage(f"connecting to {asked.device}")
        done = persist(partial(session_on, asked.device, asked.keep), work, progress.warn)
    if all(file.latency is None for file in done.files):
        raise UnsupportedError(
            f"{asked.device} executed none of it: {done.files[0].artifact}: {done.files[0].reason}",
            f"see what is missing there with `edgevit doctor --device {asked.device}`",
        )
    if asked.html is not None:
        write_atomic(asked.html, render(done))
    return _answer(path, found, done)


def _described(path: Path, found: tuple[FoundArtifact, ...], recipe: Recipe) -> tuple[ToMeasure, ...]:
    names = {file.path: _name(path, file) for file in found}
    fp32 = {file.target: names[file.path] for file in found if file.precision is Precision.FP32}
    return tuple(
        describe(names[file.path], file.target, file.path, fp32.get(file.target, ""), recipe)
        for file in found
    )


def _name(path: Path, file: FoundArtifact) -> str:
    return str(file.path) if file.path == path else file.path.relative_to(path).as_posix()


def _answer(path: Path, found: tuple[FoundArtifact, ...], done: DeviceProfile) -> Answer:
    data = {"artifact": str(path), **to_plain(done), "environment": to_plain(environment())}
    if found[0].path == path:  # one file: what the command always gave stands at the top as well
        (file,) = done.files
        assert file.latency is not None, "checked before"
        runs = [ms for block in file.blocks for ms in block.runs_ms]
        data |= {"executed_by": file.executed_by, "latency": to_plain(file.latency), "runs_ms": runs}
        return Answer(data, tables_of_one(file, done))
    return Answer(data, (table_of_several(done),))
