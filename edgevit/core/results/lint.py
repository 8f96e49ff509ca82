"""Which operators of a file leave an accelerator: the fields are those of `edgevit lint --json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from edgevit.core.version import SCHEMA_VERSION, SchemaVersion

# Said by the vendor's own compiler or emulator, or by a rule that the vendor has documented.
FindingKind = Literal["compiler", "rule"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One operator that an accelerator does not take, and one reason.

    Attributes:
        backend: what was asked for, for example `litert-gpu`, `qnn-v75` or `ethos-u85-1024`.
        operator: its type as the file's format calls it, for example FULLY_CONNECTED, LayerNormalization or conv.
        name: of the operator, or of its first output where the format names tensors alone.
        module: path of the model's module that it was made of; "" where the file does not say, or for what the model
            itself computes outside of its modules.
        reason: one sentence without a full stop, the compiler's own words where it has any.
        source: where the reason comes from: the address of the vendor's document or code, or compiler and version.
    """

    backend: str
    operator: str
    name: str
    module: str
    kind: FindingKind
    reason: str
    source: str

    @property
    def sentence(self) -> str:
        """Operator, where it is from, and why."""
        where = f" of {self.module}" if self.module else f" {self.name!r}" if self.name else ""
        return f"{self.operator}{where}: {self.reason}"


@dataclass(frozen=True, slots=True)
class NotChecked:
    """What a checker could not look at or cannot know, and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class LintReport:
    """One file against one accelerator.

    Attributes:
        artifact: path as it was given, or relative to the bundle.
        checked_by: what was asked, with its version: the compiler, or whose rules.
        operators: number of operators by where they run, for example {"gpu": 310, "cpu": 12}.
        findings: in the file's order; several where an operator has several reasons.
        not_checked: also where nothing was found.
    """

    artifact: str
    backend: str
    kind: FindingKind
    checked_by: str
    operators: Mapping[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    not_checked: tuple[NotChecked, ...] = ()


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """A checker that gave no report on a file.

    Attributes:
        failed: it was asked for and is missing here, or it did not come to its end; not so where nobody asked for it.
    """

    artifact: str
    backend: str
    why: str
    failed: bool


@dataclass(frozen=True, slots=True)
class LintResult:
    """Everything that `edgevit lint` found out."""

    reports: tuple[LintReport, ...]
    unanswered: tuple[NoAnswer, ...] = ()
    schema_version: SchemaVersion = SCHEMA_VERSION

    @property
    def exit_code(self) -> int:
        """1 if an operator leaves, else 3 if a checker failed, else 0."""
        if any(report.findings for report in self.reports):
            return 1
        return 3 if any(one.failed for one in self.unanswered) else 0
