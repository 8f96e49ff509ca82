"""What a device says of itself before anything of ours runs there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgevit.core.results.device import Battery

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Zone:
    """A thermal sensor.

    Attributes:
        limit: degrees at which the device slows down; None where it does not say.
    """

    name: str
    celsius: float
    limit: float | None


@dataclass(frozen=True, slots=True)
class PythonThere:
    """The Python that would run the agent.

    Attributes:
        tag: implementation and version, `cpython-311`.
        packages: package -> version, of those that matter; "" for one that does not say.
        broken: package -> the last line of what its import said.
        in_use: whether another run of edgevit has the device.
    """

    path: str
    version: Version
    bits: int
    tag: str
    packages: Mapping[str, str]
    broken: Mapping[str, str]
    modules: tuple[str, ...]
    in_use: bool


@dataclass(frozen=True, slots=True)
class Survey:
    """Words that the device does not know are "", numbers None.

    Attributes:
        kernel: Linux or Darwin; Android is a Linux whose system says so.
        bits: of programs there, which may be 32 below a 64-bit kernel.
        libc: `glibc`, `musl` or "", and its version.
        folder: ours, or the nearest one above it that exists; free bytes there, and whether we may write.
        kept_bytes: what lies in our folder from before.
        governors: governor and driver of the processor's clock.
        throttled: what holds the clocks down now; None where nothing there says so.
        power_mode: of a Jetson, such as 15W or MAXN.
        old_pythons: those that cannot run the agent.
    """

    kernel: str
    release: str
    machine: str
    bits: int | None
    system: str
    model: str
    cpu: str
    features: tuple[str, ...]
    cores: int | None
    memory_bytes: int | None
    memory_free_bytes: int | None
    libc: tuple[str, Version]
    emulated: str
    tools: tuple[str, ...]
    folder: str
    free_bytes: int | None
    writable: bool
    kept_bytes: int
    governors: tuple[tuple[str, str], ...]
    zones: tuple[Zone, ...]
    throttled: tuple[str, ...] | None
    power_mode: str
    load: float | None
    battery: Battery | None
    old_pythons: tuple[str, ...]
    python: PythonThere | None

    @property
    def android(self) -> bool:
        """Whether it is a phone or the like."""
        return self.system.startswith("Android")

    @property
    def mac(self) -> bool:
        """Whether it runs macOS."""
        return self.kernel == "Darwin"
