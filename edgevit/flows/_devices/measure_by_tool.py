"""Measure files on a phone without Python, by LiteRT's benchmark_model: what the agent's answer has, as far as it goes.

One image is executed here as well, and the outputs compared: a phone that computes something else is told.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgevit.agent.feed import tensor
from edgevit.core.decibels import sqnr_db
from edgevit.core.errors import UnsupportedError, UsageError
from edgevit.core.process.scratch import scratch
from edgevit.core.progress import Progress
from edgevit.core.results.device import OperatorTime
from edgevit.core.results.profile import DeviceProfile, FileProfile, MeasuredBlock, RunnerProgram, RunSummary
from edgevit.core.results.report import Latency
from edgevit.core.types import TensorSpec
from edgevit.devices._benchmark_model.measure import measure
from edgevit.devices._benchmark_model.operators import under_tensors
from edgevit.devices._benchmark_model.tool import built_for
from edgevit.devices._benchmark_model.types import (
    Tool,
    ToolBlock,
    ToolFile,
    ToolMeasured,
    ToolRun,
    ToolSettings,
    ToolTimes,
)
from edgevit.devices.session import Chunk
from edgevit.flows._devices.measure import ROUNDS, Options, ToMeasure, operators_of
from edgevit.flows._devices.sessions import session_on, transport_of
from edgevit.validate import device_latency
from edgevit.validate.operator_times import by_module

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Below it the phone computes something else: quantized files agree to 48 dB between x86 and ARM, float files to 89.
_SAME_DB: Final = 30.0


@dataclass(frozen=True, slots=True)
class _Asked:
    """A file, its input on this computer, and what it gives here: (batch, ...) of each output in its own type.

    Attributes:
        operators: of the file, in order; empty where LiteRT here does not list them.
    """

    file: ToMeasure
    tool: ToolFile
    expected: tuple[NDArray[np.generic], ...]
    operators: tuple[OperatorTime, ...] = ()


def measure_by_tool(
    where: str, program: Path, files: Sequence[ToMeasure], options: Options, keep: bool, progress: Progress
) -> DeviceProfile:
    """Latency, operators and one image's outputs of the .tflite files.

    Raises:
        UsageError: `where` is no phone.
        InputError: `program` is none.
        UnsupportedError: none of the files is TFLite.
        DeviceError: the program does not run there.
        DeviceLostError: the connection broke.
    """
    if where.partition(":")[0] != "adb":
        raise UsageError(
            f"--runner is for phones, and {where} is reached by its own Python",
            "leave --runner away, or --device adb",
        )
    wanted = [file for file in files if file.path.suffix == ".tflite"]
    if not wanted:
        raise UnsupportedError(
            "benchmark_model executes .tflite files alone, and there is none",
            "ONNX Runtime on a phone needs Python there: see Android in docs/devices.md",
        )
    count = min(ROUNDS, options.runs)
    settings = ToolSettings(
        blocks=count,
        runs=-(-options.runs // count),
        seconds=options.seconds / count,
        threads=options.threads,
        cpus=options.cpus,
        timeout=options.timeout,
        keep=keep,
    )
    built_for(program)  # what is wrong is found before the work
    with transport_of(where).open(where) as place, scratch("edgevit-profile-") as folder:
        progress.stage("executing files here", len(wanted))
        asked = _executed_here(wanted, folder, options, progress)
        progress.stage(f"timing files on {where} with {program.name}")
        run = measure(place, program, [one.tool for one in asked], settings)
    measured = dict(zip([one.file.name for one in asked], run.files, strict=True))
    listed = {one.file.name: one.operators for one in asked}
    label = f"benchmark_model ({run.tool.kind})"
    threads = options.threads or len(options.cpus) or run.fingerprint.cores
    profiles = tuple(_profile(file, measured, listed.get(file.name, ()), label, threads) for file in files)
    notes = _told(where, run, asked, progress)
    return DeviceProfile(where, run.fingerprint, profiles, notes, _described(run.tool))


def _executed_here(
    files: Sequence[ToMeasure], folder: Path, options: Options, progress: Progress
) -> list[_Asked]:
    """One image through each file on this computer, the same that the phone gets."""
    import numpy as np

    found = []
    with session_on("local") as session:
        for number, file in enumerate(files):
            here = folder / str(number)
            here.mkdir()
            shape = (file.file.feed.batch, *file.file.shape)
            pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
            np.save(here / "pixels.npy", pixels)
            fed = tensor(pixels, file.file.feed)
            (here / "input.bin").write_bytes(fed.tobytes())
            chunk = Chunk(session.store.put_array(here / "pixels.npy"), here / "outputs.npz")
            path = session.store.put(file.path)
            session.execute(
                path,
                file.file,
                (chunk,),
                threads=options.threads,
                unit=options.unit,
                timeout=options.timeout,
                done=lambda chunk, images: None,
            )
            with np.load(chunk.outputs, allow_pickle=False) as stored:
                expected = tuple(stored[name] for name in stored.files)
            outputs = tuple(
                TensorSpec(output.name, value.shape, str(value.dtype))
                for output, value in zip(file.file.outputs, expected, strict=True)
            )
            tool = ToolFile(file.path, here / "input.bin", tuple(fed.shape), outputs)
            listed, _ = operators_of(session, file, path, 0, options)
            found.append(_Asked(file, tool, expected, () if listed is None else listed.operators))
            progress.advance()
    return found


def _profile(
    file: ToMeasure,
    measured: Mapping[str, ToolMeasured],
    listed: tuple[OperatorTime, ...],
    label: str,
    threads: int,
) -> FileProfile:
    found = measured.get(file.name)
    if found is None:
        python = "; ONNX Runtime on a phone needs Python there" if file.path.suffix == ".onnx" else ""
        return FileProfile(
            file.name, file.target, reason=f"benchmark_model executes .tflite files alone{python}"
        )
    if found.timed is None or found.inside is None:
        return FileProfile(file.name, file.target, reason=found.reason)
    block = partial(_block, label=label)
    blocks = tuple(map(block, found.timed.blocks))
    fp32 = measured.get(file.fp32)
    base = tuple(map(block, fp32.timed.blocks)) if fp32 is not None and fp32.timed is not None else ()
    load = statistics.median(one.load_ms for one in blocks)
    first = statistics.median(one.first_ms for one in blocks)
    told = found.inside.operators
    operators = () if told is None else under_tensors(told.operators, listed)
    peak = found.inside.peak_mb
    latency = Latency(
        p50_ms=statistics.median(ms for one in blocks for ms in one.runs_ms),
        p90_ms=None,
        runs=sum(one.times.runs for one in found.timed.blocks),
        threads=threads,
        cold_load_ms=load + first,
        ratio_to_fp32=device_latency.ratio_of_rounds(blocks, base) if base else None,
    )
    return FileProfile(
        artifact=file.name,
        target=file.target,
        executed_by=label,
        latency=latency,
        load_ms=load,
        first_ms=first,
        peak_rss_bytes=None if peak is None else round(peak * 1024 * 1024),
        unstable=device_latency.unstable(blocks),
        blocks=blocks,
        operators=operators,
        modules=by_module(operators, file.sites),
    )


def _block(block: ToolBlock, label: str) -> MeasuredBlock:
    """A process: of its runs the program gives a summary alone, whose median stands for them."""
    times = block.times
    words = f"the device was throttled ({', '.join(block.disturbed)})" if block.disturbed else ""
    return MeasuredBlock(
        runs_ms=(times.median_ms,),
        cpu_ms=(),
        load_ms=times.init_ms,
        first_ms=times.first_ms,
        warm_up_runs=times.warm_up_runs or 0,
        peak_rss_bytes=0,
        before=block.before,
        after=block.after,
        executed_by=label,
        disturbed=words,
        summary=_summary(times),
    )


def _summary(times: ToolTimes) -> RunSummary:
    return RunSummary(
        runs=times.runs,
        mean_ms=times.mean_ms,
        min_ms=times.min_ms,
        max_ms=times.max_ms,
        stddev_ms=times.stddev_ms,
        p5_ms=times.p5_ms,
        p95_ms=times.p95_ms,
    )


def _told(where: str, run: ToolRun, asked: Sequence[_Asked], progress: Progress) -> tuple[str, ...]:
    """Say what a reader of the times should know, and how far the answers there are from those here."""
    doubts = [*_warnings(run), *run.refused]
    answers: list[str] = []
    for one, found in zip(asked, run.files, strict=True):
        if found.inside is None:
            continue
        doubts += [f"{one.file.name}: {remark}" for remark in found.inside.remarks]
        if found.inside.outputs is not None:
            db = _agreement(found.inside.outputs, one)
            same = db >= _SAME_DB
            words = "as" if same else "otherwise than"
            told = f"{one.file.name}: one image is answered {words} on this computer, SQNR {db:.1f} dB"
            (answers if same else doubts).append(told)
    for note in doubts:
        progress.warn(f"{where}: {note}")
    for note in answers:
        progress.note(f"{where}: {note}")
    return (*doubts, *answers)


def _warnings(run: ToolRun) -> tuple[str, ...]:
    """What the phone was like before anything was timed on it."""
    blocks = [block for file in run.files if file.timed is not None for block in file.timed.blocks]
    return device_latency.warnings(run.fingerprint, blocks[0].before) if blocks else ()


def _agreement(outputs: Sequence[NDArray[np.generic]], asked: _Asked) -> float:
    """SQNR in dB of the outputs there against those here, in real numbers; of the worst output."""
    import numpy as np

    found = []
    for output, there, here in zip(asked.file.file.outputs, outputs, asked.expected, strict=True):
        scale = 1.0 if output.scale is None else output.scale
        expected = (here.astype(np.float64) - output.zero_point) * scale
        noise = (there.astype(np.float64) - output.zero_point) * scale - expected
        found.append(sqnr_db(float(np.sum(expected**2)), float(np.sum(noise**2))))
    return min(found)


def _described(tool: Tool) -> RunnerProgram:
    return RunnerProgram(tool.kind, tool.sha256, tuple(sorted(tool.flags)))
