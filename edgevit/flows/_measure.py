"""Measure files on a device: blocks of runs, each in a process of its own, until enough of them were in peace."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from edgevit.core.errors import DeviceError, DeviceLostError
from edgevit.core.progress import Progress
from edgevit.core.results.device import OperatorTime, OperatorTimes
from edgevit.core.results.profile import FileProfile, MeasuredBlock, ModuleTime
from edgevit.core.results.report import Latency
from edgevit.core.runner import DeviceFile
from edgevit.devices.session import Session
from edgevit.validate import device_latency

# Processes for each file: as many as an interval needs, and both directions of ABBA alike.
ROUNDS: Final = 6
# Rounds in which a block was disturbed are repeated, so many times at most.
REPEATED: Final = 4
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
            if file.fp32 in remote and file.fp32 != file.name
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
        path = session.put(file.path)
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
    p90 = float(np.percentile(runs, 90)) if len(runs) >= device_latency.RUNS_FOR_P90 else None
    latency = Latency(
        p50_ms=float(np.median(runs)),
        p90_ms=p90,
        runs=len(runs),
        threads=options.threads or session.fingerprint.cores,
        cold_load_ms=load + first,
        ratio_to_fp32=device_latency.ratio_of_rounds(blocks, base) if base else None,
    )
    times = _operators(session, file, path, options) if options.operators else None
    operators = () if times is None else times.operators
    return FileProfile(
        artifact=file.name,
        target=file.target,
        executed_by=blocks[0].executed_by,
        latency=latency,
        p99_ms=device_latency.p99(runs),
        load_ms=load,
        first_ms=first,
        peak_rss_bytes=max(block.peak_rss_bytes for block in blocks) or None,
        unstable=device_latency.unstable(blocks),
        blocks=blocks,
        operators=operators,
        modules=by_module(operators, file.sites),
    )


def _operators(session: Session, file: ToMeasure, path: str, options: Options) -> OperatorTimes | None:
    """None where the runtime tells no times of operators."""
    try:
        return session.operators(
            path, file.file, runs=OPERATOR_RUNS, threads=options.threads, timeout=options.timeout
        )
    except DeviceLostError:
        raise
    except DeviceError:
        return None


def by_module(operators: Sequence[OperatorTime], sites: Mapping[str, str]) -> tuple[ModuleTime, ...]:
    """Times of operators added up by the model's modules, in the order of their first operator.

    Args:
        sites: tensor -> site, for operators that are called by what they compute.
    """
    total = sum(operator.ms for operator in operators)
    times: dict[str, float] = {}
    for operator in operators:
        module = block_of(site_of(operator.name, sites).partition(":")[0])
        times[module] = times.get(module, 0.0) + operator.ms
    return tuple(ModuleTime(name, ms, ms / total if total else 0.0) for name, ms in times.items())


def site_of(operator: str, sites: Mapping[str, str]) -> str:
    """The site that an operator belongs to: its own name says it, or the tensor that it is called after; else ""."""
    if ":" in operator:
        return operator.split("/", maxsplit=1)[0]
    while operator and operator not in sites:  # runtimes add what they made of it: conv2d_nchwc
        operator = operator.rpartition("_")[0]
    return sites.get(operator, "")


def block_of(module: str) -> str:
    """The part of the model that a module belongs to: `blocks.3.attn` of blocks.3.attn.qkv, `stem` of stem.conv."""
    parts = module.split(".")
    numbers = [index for index, part in enumerate(parts) if re.fullmatch(r"\d+", part)]
    return ".".join(parts[: numbers[-1] + 2 if numbers else 1])
