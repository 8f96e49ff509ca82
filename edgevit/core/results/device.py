"""What a device says: what it is, how it was while it measured, and what it measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DeviceFingerprint:
    """What the device is; words that it does not know are "".

    Attributes:
        model: the board's or computer's own name.
        cpu: cores by name, for example "4x Cortex-A72".
        features: instructions that matter for a file's speed and that every core has, for example dotprod, i8mm.
        libc: name and version of the C library.
        runtimes: package -> version.
        emulated: what plays the processor, "" on real hardware. Times of an emulated one mean nothing.
    """

    model: str
    system: str
    machine: str
    cpu: str
    features: tuple[str, ...]
    cores: int
    memory_bytes: int
    libc: str
    python: str
    runtimes: Mapping[str, str]
    emulated: str


@dataclass(frozen=True, slots=True)
class Battery:
    """Charge in percent, and whether it is being charged."""

    percent: int
    charging: bool


@dataclass(frozen=True, slots=True)
class DeviceState:
    """How the device was at one moment; what it does not tell is empty or None.

    Attributes:
        mhz, max_mhz: by core.
        celsius: by sensor.
        throttled: what held the clocks down, in words; None where nothing there says so.
        load: processes that wanted a core in the last minute.
    """

    mhz: tuple[int, ...] = ()
    max_mhz: tuple[int, ...] = ()
    governors: tuple[str, ...] = ()
    celsius: Mapping[str, float] = field(default_factory=dict)
    throttled: tuple[str, ...] | None = None
    load: float | None = None
    memory_free_bytes: int | None = None
    battery: Battery | None = None


@dataclass(frozen=True, slots=True)
class TimedOnce:
    """One file in one process: milliseconds to open it, of the first inference, and of each run after the warm-up.

    Attributes:
        cpu_ms: processor time of the process in each run.
        load_warm_ms: to open it again; None where the runtime keeps nothing of the first time.
    """

    load_ms: float
    first_ms: float
    executed_by: str
    warm_up_runs: int
    wall_ms: tuple[float, ...]
    cpu_ms: tuple[float, ...]
    load_warm_ms: float | None = None


@dataclass(frozen=True, slots=True)
class TimedBlock:
    """What one process on the device measured.

    Attributes:
        peak_rss_bytes: most memory that it held resident, the runtime's included; 0 where nothing there says so.
    """

    files: tuple[TimedOnce, ...]
    peak_rss_bytes: int
    before: DeviceState
    after: DeviceState


@dataclass(frozen=True, slots=True)
class OperatorTime:
    """One operator as the runtime executes it.

    Attributes:
        name: the runtime's own, from the file.
        by: which provider, delegate, kernel or compute unit executes it.
        ms: mean of the middle half of its runs; None where the runtime does not time it. Measuring each operator costs
            time itself.
        cost: its share of the file as the runtime estimates it before it runs, 0 to 1; None where it does not.
        static_macs, dynamic_macs: multiply-accumulates for one image that its kernel does on integers, with ranges of
            the activations that are fixed or those of each execution.
    """

    name: str
    type: str
    by: str
    ms: float | None = None
    cost: float | None = None
    static_macs: int = 0
    dynamic_macs: int = 0


@dataclass(frozen=True, slots=True)
class OperatorTimes:
    """All operators of a file in the order of their execution.

    Attributes:
        partitions: parts of the file that a delegate executes; None where the runtime has no delegates.
    """

    operators: tuple[OperatorTime, ...]
    executed_by: str
    runs: int
    partitions: int | None = None
