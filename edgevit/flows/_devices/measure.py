"""Measure files on a device: blocks of runs, each in a process of its own, until enough of them were in peace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from edgevit.core.errors import DeviceError, DeviceLostError
from edgevit.core.progress import Progress
from edgevit.core.results.device import OperatorTimes
from edgevit.core.results.profile import FileProfile, MeasuredBlock
from edgevit.core.results.report import Latency
from edgevit.core.runner import DeviceFile
from edgevit.devices.session import Session
from edgevit.validate import device_latency
from edgevit.validate.operator_times import by_module

# Processes for each file: as many as an interval needs, and both directions of ABBA alike.
ROUNDS: Final = 6
# Rounds in which a block was disturbed are repeated, so many times at most.
REPEATED: Final = 2
OPERATOR_RUNS: Final = 20


@dataclass(frozen=True, slots=True)
class Options:
    """How to measure.

    Attributes:
        runs, seconds: of each file at least, over all its processes.
        threads: 0 for all cores.
        cpus: cores that the runs are bound to, none for all.
        unit: compute unit of Core ML.
        timeout: seconds of one process.
        operators: time each of them too.
    """

    runs: int = 50
    seconds: float = 0.0
    threads: int = 0
    cpus: tuple[int, ...] = ()
    unit: str = "all"
    timeout: float = 3600.0
    operators: bool = True


@dataclass(frozen=True, slots=True)
class ToMeasure:
    """A file that the device executes.

    Attributes:
        name: what the answer calls it.
        fp32: name of the float file that it is held against; "" for none.
        sites: tensor -> site.
        cpu_bound: whether threads of the process do all the work.
    """

    name: str
    target: str
    path: Path
    file: DeviceFile
    fp32: str
    sites: Mapping[str, str]
    cpu_bound: bool


def measure(
    session: Session, files: Sequence[ToMeasure], options: Options, progress: Progress
) -> tuple[FileProfile, ...]:
    """Latency and operators of files; one that the device does not execute is told with the reason.

    Raises:
        DeviceLostError: the connection broke.
    """
    remote, failed = _put(session, files, options, progress)
    good = [file for file in files if file.name in remote]
    rounds = _rounds(session, good, remote, options, progress)
    if options.operators:
        progress.stage("timing operators", len(good))
    profiles = []
    for file in files:
        if file.name in failed:
            profiles.append(FileProfile(file.name, file.target, reason=failed[file.name]))
            continue
        blocks = tuple(found[file.name] for found in rounds)
        base = (
            tuple(found[file.fp32] for found in rounds)
            if file.fp32 in remote and file.fp32 != file.name and not session.fingerprint.emulated
            else ()
        )
        profiles.append(_profile(session, file, remote[file.name], blocks, base, options))
        progress.advance()
    return tuple(profiles)


def _put(
    session: Session, files: Sequence[ToMeasure], options: Options, progress: Progress
) -> tuple[dict[str, str], dict[str, str]]:
    """Name -> path on the device of the files that it executes, and name -> reason of those that it does not."""
    remote: dict[str, str] = {}
    failed: dict[str, str] = {}
    progress.stage("copying files to the device", len(files))
    for file in files:
        path = session.store.put(file.path)
        try:  # once, and not counted: it brings the file into memory
            _block(session, file, path, replace(options, runs=1, seconds=0.0))
            remote[file.name] = path
        except DeviceLostError:
            raise
        except DeviceError as error:
            failed[file.name] = error.message
        progress.advance()
    return remote, failed


def _rounds(
    session: Session,
    files: Sequence[ToMeasure],
    remote: Mapping[str, str],
    options: Options,
    progress: Progress,
) -> list[dict[str, MeasuredBlock]]:
    """Blocks of every file, round by round; a disturbed round is repeated if there are repetitions left."""
    count = min(ROUNDS, options.runs)
    share = replace(options, runs=-(-options.runs // count), seconds=options.seconds / count)
    peaceful: list[dict[str, MeasuredBlock]] = []
    others: list[dict[str, MeasuredBlock]] = []
    progress.stage("timing files", count)
    for number in range(count + REPEATED):
        if len(peaceful) == count or not files:
            break
        order = list(files) if number % 4 in (0, 3) else list(reversed(files))  # ABBA
        found = {file.name: _block(session, file, remote[file.name], share) for file in order}
        if any(block.disturbed for block in found.values()):
            others.append(found)
        else:
            peaceful.append(found)
            progress.advance()
    return [*peaceful, *others[: count - len(peaceful)]]


def _block(session: Session, file: ToMeasure, path: str, options: Options) -> MeasuredBlock:
    timed = session.time(
        {path: file.file},
        runs=options.runs,
        seconds=options.seconds,
        threads=options.threads,
        cpus=options.cpus,
        unit=options.unit,
        timeout=options.timeout,
    )
    (once,) = timed.files
    block = MeasuredBlock(
        runs_ms=once.wall_ms,
        cpu_ms=once.cpu_ms,
        load_ms=once.load_ms,
        first_ms=once.first_ms,
        load_warm_ms=once.load_warm_ms,
        warm_up_runs=once.warm_up_runs,
        peak_rss_bytes=timed.peak_rss_bytes,
        before=timed.before,
        after=timed.after,
        executed_by=once.executed_by,
    )
    one_core = file.cpu_bound and options.threads == 1
    return replace(block, disturbed=device_latency.disturbed(block, one_core))


def _profile(
    session: Session,
    file: ToMeasure,
    path: str,
    blocks: tuple[MeasuredBlock, ...],
    base: tuple[MeasuredBlock, ...],
    options: Options,
) -> FileProfile:
    import numpy as np

    runs = [ms for block in blocks for ms in block.runs_ms]
    load = float(np.median([block.load_ms for block in blocks]))
    first = float(np.median([block.first_ms for block in blocks]))
    warm = [block.load_warm_ms for block in blocks if block.load_warm_ms is not None]
    p90 = float(np.percentile(runs, 90)) if len(runs) >= device_latency.RUNS_FOR_P90 else None
    latency = Latency(
        p50_ms=float(np.median(runs)),
        p90_ms=p90,
        runs=len(runs),
        threads=options.threads or session.fingerprint.cores,
        cold_load_ms=load + first,
        ratio_to_fp32=device_latency.ratio_of_rounds(blocks, base) if base else None,
    )
    times, untold = (
        operators_of(session, file, path, OPERATOR_RUNS, options) if options.operators else (None, "")
    )
    operators = () if times is None else times.operators
    return FileProfile(
        artifact=file.name,
        target=file.target,
        executed_by=blocks[0].executed_by,
        latency=latency,
        p99_ms=device_latency.p99(runs),
        load_ms=load,
        first_ms=first,
        load_warm_ms=float(np.median(warm)) if warm else None,
        peak_rss_bytes=max(block.peak_rss_bytes for block in blocks) or None,
        unstable=device_latency.unstable(blocks),
        blocks=blocks,
        operators=operators,
        untold=untold,
        modules=by_module(operators, file.sites),
        partitions=None if times is None else times.partitions,
    )


def operators_of(
    session: Session, file: ToMeasure, path: str, runs: int, options: Options
) -> tuple[OperatorTimes | None, str]:
    """Operators of a file that was put at `path`, and why there are none where the runtime does not tell them.

    Raises:
        DeviceLostError: the connection broke.
    """
    try:
        times = session.operators(
            path,
            file.file,
            runs=runs,
            threads=options.threads,
            cpus=options.cpus,
            unit=options.unit,
            timeout=options.timeout,
        )
    except DeviceLostError:
        raise
    except DeviceError as error:
        return None, error.message
    return times, ""
