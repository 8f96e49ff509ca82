"""An operator of a file as rules look at it, whatever the format; and what a rule says of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgevit.core.results.lint import Finding, LintReport, NotChecked


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor that an operator reads or computes.

    Attributes:
        shape: None where the file does not say it, and in it for each dimension that is not fixed.
        dtype: as numpy spells it, such as float32 or bool; "" where the file does not say it.
        index: of the tensor in its file, where several may share a name.
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str
    constant: bool = False
    index: int = -1

    @property
    def rank(self) -> int:
        """Number of dimensions, 0 if unknown: rules limit ranks from above."""
        return len(self.shape or ())


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator in the file's order.

    Attributes:
        kind: its type as the format spells it; with its domain where that is not the format's own.
        name: its own, or that of its first output.
        module: path of the model's module, "" where the file does not say.
        inputs: None for one that is left out.
        version: of the operator, which TFLite raises for each new type or shape that it takes.
        options: attributes by name, as numbers, text, or tuples of them.
    """

    kind: str
    name: str
    module: str
    inputs: tuple[Operand | None, ...]
    outputs: tuple[Operand, ...]
    version: int = 1
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def given(self) -> tuple[Operand, ...]:
        """Its inputs without those that are left out."""
        return tuple(operand for operand in self.inputs if operand is not None)

    @property
    def computed(self) -> tuple[Operand, ...]:
        """Inputs that depend on the model's input."""
        return tuple(operand for operand in self.given if not operand.constant)

    @property
    def operands(self) -> tuple[Operand, ...]:
        """Inputs and outputs."""
        return (*self.given, *self.outputs)

    def flag(self, name: str) -> bool:
        """Whether an attribute is there and not zero."""
        return bool(self.options.get(name))


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that a vendor says of an accelerator.

    Attributes:
        source: address of the document or the code that says so.
        broken: (operator) -> why it leaves, "" if the rule holds.
    """

    source: str
    broken: Callable[[Operator], str]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why one operator leaves, and who says so."""

    reason: str
    source: str


def judge(operators: Sequence[Operator], rules: Sequence[Rule]) -> list[list[Reason]]:
    """The reasons of each operator, in the order of the rules; none for one that stays."""
    found: list[list[Reason]] = []
    for operator in operators:
        told = [Reason(reason, rule.source) for rule in rules if (reason := rule.broken(operator))]
        found.append(told)
    return found


def rule_report(
    path: Path,
    backend: str,
    checked_by: str,
    operators: Sequence[Operator],
    reasons: Sequence[Sequence[Reason]],
    places: tuple[str, str],
    not_checked: Sequence[NotChecked],
) -> LintReport:
    """The report of a checker that goes by rules.

    Args:
        reasons: of each operator.
        places: what the report calls the accelerator and what takes the rest.
    """
    findings = tuple(
        Finding(backend, operator.kind, operator.name, operator.module, "rule", told.reason, told.source)
        for operator, why in zip(operators, reasons, strict=True)
        for told in why
    )
    counted = Counter(places[1] if why else places[0] for why in reasons)
    return LintReport(
        artifact=str(path),
        backend=backend,
        kind="rule",
        checked_by=checked_by,
        operators={place: counted[place] for place in places},
        findings=findings,
        not_checked=tuple(not_checked),
    )


def shape_text(operand: Operand) -> str:
    """`1x4x16`, with ? for a dimension that is not fixed."""
    if operand.shape is None:
        return "unknown"
    return "x".join("?" if size is None else str(size) for size in operand.shape) or "scalar"
