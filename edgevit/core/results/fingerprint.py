"""On what a latency was measured: numbers of two runs are compared only if this is the same for both."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

from edgevit.core.results.device import DeviceFingerprint
from edgevit.core.results.report import Environment


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What the time of a file depends on besides the file.

    Attributes:
        system: with its version, as `platform.platform()` gives it.
        runtime: with its version and backend, as `executed_by` of a report has it.
        threads: of one inference.
    """

    system: str
    cpu: str
    cores: int
    runtime: str
    threads: int

    @classmethod
    def of(cls, environment: Environment, runtime: str, threads: int) -> Self:
        """That of a report's environment and one of its artifacts."""
        return cls(environment.system, environment.cpu, environment.cores, runtime, threads)

    @classmethod
    def of_device(cls, device: DeviceFingerprint, runtime: str, threads: int) -> Self:
        """That of another device; its processor is told with the instructions that matter."""
        cpu = f"{device.model} {device.cpu} {' '.join(device.features)}".strip()
        return cls(f"{device.system} {device.libc}".strip(), cpu, device.cores, runtime, threads)

    def difference(self, earlier: Fingerprint) -> str:
        """What is not as it was for a baseline, in one clause; "" where nothing differs."""
        changed = [
            f"{field.name} {getattr(self, field.name)} instead of {getattr(earlier, field.name)}"
            for field in fields(self)
            if getattr(self, field.name) != getattr(earlier, field.name)
        ]
        return f"the baseline was timed on another device or runtime: {', '.join(changed)}" if changed else ""
