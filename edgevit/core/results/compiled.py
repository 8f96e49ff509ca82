"""What a vendor's compiler made of a file: the fields are those of `edgevit compile --json`."""

from __future__ import annotations

from dataclasses import dataclass

from edgevit.core.results.lint import Finding
from edgevit.core.version import SCHEMA_VERSION, SchemaVersion


@dataclass(frozen=True, slots=True)
class Placed:
    """How much of something runs where."""

    npu: int
    cpu: int

    @property
    def share(self) -> float:
        """Of the NPU; 1 of nothing at all."""
        return self.npu / (self.npu + self.cpu) if self.npu + self.cpu else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What the compiler expects of one inference. Nothing of it was measured.

    Attributes:
        by: the compiler and its version.
        system, memory: the compiler's names of the board that it assumed.
        cycles: of the NPU's clock, all in all; the next ones by what they are spent on, which overlap.
        clock_hz: that it assumed.
        milliseconds: of what runs on the NPU; the CPU's operators are not in it.
        sram_bytes, dram_bytes, flash_bytes: the most that is in use at a time, weights where they are stored.
        weight_bytes: as the NPU reads them.
    """

    by: str
    system: str
    memory: str
    cycles: int
    npu_cycles: int
    sram_cycles: int
    dram_cycles: int
    flash_cycles: int
    clock_hz: int
    milliseconds: float
    sram_bytes: int
    dram_bytes: int
    flash_bytes: int
    weight_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CompilerReport:
    """One file, compiled for one accelerator.

    Attributes:
        artifact: path as it was given, or relative to the bundle.
        accelerator: what it was compiled for.
        compiler: and its version.
        operators, macs: of the file, and the multiply-accumulates of one inference.
        estimate: None of a compiler that makes none.
        findings: the operators that run on the CPU, in the file's order.
        output: path of what was compiled; None where it was not asked for.
    """

    artifact: str
    accelerator: str
    compiler: str
    operators: Placed
    macs: Placed
    findings: tuple[Finding, ...]
    estimate: Estimate | None
    output: str | None = None
    schema_version: SchemaVersion = SCHEMA_VERSION
