"""What is asked of benchmark_model, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgevit.core.results.device import DeviceFingerprint, DeviceState, OperatorTimes
from edgevit.core.types import TensorSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Tool:
    """A benchmark_model that runs on the device.

    Attributes:
        path: on the device.
        sha256: of the file, which names its version: it has no flag that would.
        flags: names of those that its `--help` lists.
        kind: which of the two programs of that name it is.
    """

    path: str
    sha256: str
    flags: frozenset[str]
    kind: Literal["interpreter", "compiled model"]


@dataclass(frozen=True, slots=True)
class ToolFile:
    """A .tflite file to measure.

    Attributes:
        input: content of its input, raw, as `--input_layer_value_files` takes it; None for random numbers.
        shape: of the input, batch axis first.
        outputs: of the file, in its order.
    """

    path: Path
    input: Path | None
    shape: tuple[int, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True)
class ToolSettings:
    """How to measure.

    Attributes:
        blocks: processes for each file.
        runs, seconds: of each block at least, after the warm-up.
        warm_up: seconds of it at least, and one run.
        threads: 0 for one on each core that is used.
        cpus: cores that it is bound to, none for all.
        timeout: seconds of one process.
        keep: the program and the files stay on the device.
    """

    blocks: int = 5
    runs: int = 20
    seconds: float = 1.0
    warm_up: float = 0.5
    threads: int = 1
    cpus: tuple[int, ...] = ()
    timeout: float = 300.0
    keep: bool = False


@dataclass(frozen=True, slots=True)
class ToolTimes:
    """Milliseconds of one process, as the tool summarises them; what it does not say is None.

    Attributes:
        warm_up_ms: mean of the runs that were not counted.
        peak_mb: most memory of the process, where that was asked for; it disturbs the times.
    """

    runs: int
    median_ms: float
    mean_ms: float
    min_ms: float
    max_ms: float
    stddev_ms: float
    p5_ms: float
    p95_ms: float
    init_ms: float
    first_ms: float
    warm_up_ms: float | None = None
    warm_up_runs: int | None = None
    peak_mb: float | None = None


@dataclass(frozen=True, slots=True)
class ToolBlock:
    """One process, and how the phone was before and after it.

    Attributes:
        disturbed: what held the clocks down meanwhile, in words; such a block was repeated as often as is allowed.
    """

    times: ToolTimes
    before: DeviceState
    after: DeviceState
    disturbed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToolTimed:
    """The blocks of one file that count, and those that were repeated because something disturbed them."""

    blocks: tuple[ToolBlock, ...]
    dropped: tuple[ToolBlock, ...]


@dataclass(frozen=True, slots=True)
class ToolInside:
    """What a file computes and where its time goes.

    Attributes:
        outputs: for the input that was given, in the file's order and types; None where the program cannot dump them.
        operators: None where the program cannot tell.
        peak_mb: most memory of the process; None where the program does not say.
        remarks: what could not be had, in sentences.
    """

    outputs: tuple[NDArray[np.generic], ...] | None
    operators: OperatorTimes | None
    peak_mb: float | None
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToolMeasured:
    """What was measured of one file; of one that the program could not execute there is only the reason."""

    timed: ToolTimed | None = None
    inside: ToolInside | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ToolRun:
    """What benchmark_model measured on a phone, file by file.

    Attributes:
        refused: what the phone did not allow, in sentences.
    """

    tool: Tool
    fingerprint: DeviceFingerprint
    files: tuple[ToolMeasured, ...]
    refused: tuple[str, ...]
