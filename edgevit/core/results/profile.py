"""What `edgevit profile` found: latency of files on a device, and where their time goes."""

from __future__ import annotations

from dataclasses import dataclass

from edgevit.core.results.device import DeviceFingerprint, DeviceState, OperatorTime
from edgevit.core.results.report import Latency


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Runs of a process in the words of a program that keeps none of them."""

    runs: int
    mean_ms: float
    min_ms: float
    max_ms: float
    stddev_ms: float
    p5_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class MeasuredBlock:
    """Runs of one file in one process of the device.

    Attributes:
        runs_ms: of a program that keeps none, their median alone; `summary` has the rest.
        disturbed: why they cannot be trusted, "" where nothing speaks against them.
    """

    runs_ms: tuple[float, ...]
    cpu_ms: tuple[float, ...]
    load_ms: float
    first_ms: float
    warm_up_runs: int
    peak_rss_bytes: int
    before: DeviceState
    after: DeviceState
    executed_by: str
    disturbed: str = ""
    summary: RunSummary | None = None
    load_warm_ms: float | None = None

    @property
    def extremes_ms(self) -> tuple[float, float]:
        """The fastest and the slowest run."""
        if self.summary is not None:
            return self.summary.min_ms, self.summary.max_ms
        return min(self.runs_ms), max(self.runs_ms)


@dataclass(frozen=True, slots=True)
class ModuleTime:
    """Time of all operators that one module of the model became.

    Attributes:
        name: "" for what the model itself computes outside of its modules.
        ms: None where the runtime only estimates the share.
    """

    name: str
    ms: float | None
    share: float


@dataclass(frozen=True, slots=True)
class FileProfile:
    """How long one file takes on a device, and where the time goes.

    Attributes:
        artifact: as it was given, or relative to the bundle.
        executed_by: runtime there; None if it was not executed, and then `reason` says why.
        latency: over all runs of its blocks; the ratio is to the fp32 file of the same target there, from blocks.
        p99_ms: None below 299 runs, which do not bound it.
        load_ms, first_ms: medians over the processes, of opening the file and of the first inference.
        load_warm_ms: the same of opening it again; None where the runtime keeps nothing of the first time.
        peak_rss_bytes: most memory that a process which executes this file alone held resident, the runtime's and
            Python's included; None where nothing there says so.
        unstable: why the times are not to be relied on, "" where nothing speaks against them.
        operators: as the runtime executes them; empty where it does not tell, and then `untold` says why.
        partitions: parts of the file that a delegate executes; None where the runtime does not tell, or has none.
    """

    artifact: str
    target: str
    executed_by: str | None = None
    reason: str = ""
    latency: Latency | None = None
    p99_ms: float | None = None
    load_ms: float | None = None
    first_ms: float | None = None
    peak_rss_bytes: int | None = None
    unstable: str = ""
    blocks: tuple[MeasuredBlock, ...] = ()
    operators: tuple[OperatorTime, ...] = ()
    modules: tuple[ModuleTime, ...] = ()
    load_warm_ms: float | None = None
    untold: str = ""
    partitions: int | None = None


@dataclass(frozen=True, slots=True)
class RunnerProgram:
    """A program that executed the files in place of the agent; its digest and its flags are its version."""

    kind: str
    sha256: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """All files of one run on one device.

    Attributes:
        device: as the user typed it.
        notes: what a reader of the times should know, such as that the device was busy.
        runner: None for the agent.
    """

    device: str
    fingerprint: DeviceFingerprint
    files: tuple[FileProfile, ...]
    notes: tuple[str, ...] = ()
    runner: RunnerProgram | None = None
