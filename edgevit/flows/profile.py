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
from edgevit.core.results.answer import Answer, Table
from edgevit.core.results.profile import DeviceProfile, FileProfile
from edgevit.core.settings.recipe import Recipe
from edgevit.devices.session import Session, persist
from edgevit.flows import _jobs
from edgevit.flows._environment import environment
from edgevit.flows._gate_places import check_places
from edgevit.flows._measure import Options, ToMeasure, measure
from edgevit.flows._measure_by_tool import measure_by_tool
from edgevit.flows._sessions import session_on, transport_of
from edgevit.registries import RUNTIMES
from edgevit.report.device import render
from edgevit.steps.artifacts import FoundArtifact, find_artifacts
from edgevit.steps.device_file import Described, DescribeRequest, device_runtime
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
    files = _described(path, found, recipe)
    options = Options(asked.runs, asked.seconds, recipe.threads, asked.cpus, asked.unit, recipe.timeout)

    def work(session: Session) -> DeviceProfile:
        notes = device_latency.warnings(session.fingerprint, session.state())
        for note in notes:
            progress.warn(f"{asked.device}: {note}")
        return DeviceProfile(
            asked.device, session.fingerprint, measure(session, files, options, progress), notes
        )

    if asked.runner is not None:
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
    """What the agent must know of each file, read by a worker."""
    names = {file.path: _name(path, file) for file in found}
    fp32 = {file.target: names[file.path] for file in found if file.precision is Precision.FP32}
    files = []
    for file in found:
        runtime = device_runtime(file.target)
        request = DescribeRequest(runtime, str(file.path.absolute()))
        step = f"reading {file.path.name}"
        told = _jobs.run(_jobs.on_file(step, "device_file:describe", request, file.path, recipe), Described)
        files.append(
            ToMeasure(
                name=names[file.path],
                target=file.target,
                path=file.path,
                file=told.file,
                fp32=fp32.get(file.target, ""),
                sites=told.sites,
                cpu_bound=RUNTIMES.get(runtime).cpu_bound,
            )
        )
    return tuple(files)


def _name(path: Path, file: FoundArtifact) -> str:
    return str(file.path) if file.path == path else file.path.relative_to(path).as_posix()


def _answer(path: Path, found: tuple[FoundArtifact, ...], done: DeviceProfile) -> Answer:
    data = {"artifact": str(path), **to_plain(done), "environment": to_plain(environment())}
    if found[0].path == path:  # one file: what the command always gave stands at the top as well
        (file,) = done.files
        assert file.latency is not None, "checked before"
        runs = [ms for block in file.blocks for ms in block.runs_ms]
        data |= {"executed_by": file.executed_by, "latency": to_plain(file.latency), "runs_ms": runs}
        return Answer(data, (_one(file, done), _modules(file)) if file.modules else (_one(file, done),))
    return Answer(data, (_several(done),))


def _one(file: FileProfile, done: DeviceProfile) -> Table:
    latency = file.latency
    assert latency is not None, "checked before"
    fastest, slowest = zip(*(block.extremes_ms for block in file.blocks), strict=True)
    few = "too few runs" if done.runner is None else "unknown"
    memory = "unknown" if file.peak_rss_bytes is None else f"{file.peak_rss_bytes / 1e6:.0f} MB"
    rows = [
        ("p50", f"{latency.p50_ms:.3f} ms"),
        ("p90", few if latency.p90_ms is None else f"{latency.p90_ms:.3f} ms"),
        ("p99", few if file.p99_ms is None else f"{file.p99_ms:.3f} ms"),
        ("fastest", f"{min(fastest):.3f} ms"),
        ("slowest", f"{max(slowest):.3f} ms"),
        ("opening the file", f"{file.load_ms:.1f} ms"),
        *(() if file.load_warm_ms is None else (("opening it again", f"{file.load_warm_ms:.1f} ms"),)),
        ("first inference", f"{file.first_ms:.1f} ms"),
        ("peak memory", memory),
        ("runs", f"{latency.runs} in {len(file.blocks)} processes"),
        ("threads", str(latency.threads)),
        ("executed by", str(file.executed_by)),
    ]
    if file.unstable:
        rows.append(("unstable", file.unstable))
    if file.untold:
        rows.append(("operators", file.untold))
    return Table(f"{Path(file.artifact).name} on {_called(done)}", ("what", "value"), tuple(rows))


def _several(done: DeviceProfile) -> Table:
    rows = []
    for file in done.files:
        if file.latency is None:
            rows.append((file.artifact, "-", "-", "-", "-", file.reason))
            continue
        ratio = file.latency.ratio_to_fp32
        against = "" if ratio is None else f"{ratio.value:.2f} [{ratio.ci95[0]:.2f}, {ratio.ci95[1]:.2f}]"
        p90 = "" if file.latency.p90_ms is None else f"{file.latency.p90_ms:.2f}"
        memory = "" if file.peak_rss_bytes is None else f"{file.peak_rss_bytes / 1e6:.0f}"
        rows.append((file.artifact, f"{file.latency.p50_ms:.2f}", p90, against, memory, file.unstable))
    columns = ("file", "p50 ms", "p90 ms", "times fp32", "peak MB", "remarks")
    return Table(f"{len(done.files)} files on {_called(done)}", columns, tuple(rows))


def _modules(file: FileProfile) -> Table:
    rows = tuple(
        (m.name or "(the model itself)", "" if m.ms is None else f"{m.ms:.3f}", f"{100 * m.share:.1f} %")
        for m in file.modules
    )
    title = "time by module of the model"
    if any(m.ms is None for m in file.modules):
        title += ", as the runtime estimates it"
    return Table(title, ("module", "ms", "share"), rows)


def _called(done: DeviceProfile) -> str:
    what = done.fingerprint.model or done.fingerprint.cpu or done.fingerprint.machine
    return f"{done.device} ({what})" if what else done.device
