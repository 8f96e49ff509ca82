"""What `edgevit gate` found: one check for each thing that could have got worse, and the images behind them.

The field names are those of `--json`, which others script against. None stands for "not measured", never for zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from edgevit.core.errors import EdgevitError
from edgevit.core.results.report import Interval
from edgevit.core.version import SCHEMA_VERSION, SchemaVersion

Outcome = Literal["pass", "regressed", "inconclusive", "not-compared"]
CheckKind = Literal[
    "accuracy",
    "slice",
    "agreement",
    "sqnr",
    "verdict",
    "present",
    "integer",
    "size",
    "latency",
    "memory",
    "model",
    "preprocess",
    "labels",
    "inputs",
    "outputs",
    "requires",
]
# What counts as the interface of a file or model: a change is neither better nor worse, but whoever uses it must know.
INTERFACE: Final[tuple[CheckKind, ...]] = ("model", "preprocess", "labels", "inputs", "outputs", "requires")
FLOAT_MODEL: Final = "float model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing about one file, or about the float model, held against the baseline.

    Attributes:
        subject: `target/precision`, or "float model".
        kind: what is compared. `slice`: accuracy within one class or folder; `present`: the file is there and could
            be executed; `integer`: share of the multiply-accumulates in integers, and what stays in float.
        part: of a slice, which one, such as `class 'cat'`; "" elsewhere.
        outcome: not-compared wherever nothing can be said; `reason` has why.
        reason: one or two plain sentences.
        old, new: percent (accuracy, agreement, integer), dB, bytes, or milliseconds; None where it is no number.
        unit: of both, as it is written behind a number; "" where they are none.
        limit: what was allowed, in the unit of `change`.
        change: percentage points or dB lost, percent of size or latency gained: positive is worse; None where it
            is no number.
        bounds: one-sided 95 % lower and upper end of `change`; of latency both ends of a two-sided 95 % interval.
        n: images behind it; None where it is about none.
        detectable: the smallest change that these images could have shown with a power of 80 %.
        images_needed: how many images would decide; None where that is decided or does not depend on images.
        accept: the word for `--accept` that turns it into a pass; "" where there is none.
        accepted: it is a pass because of that word.
    """

    subject: str
    kind: CheckKind
    outcome: Outcome
    reason: str
    part: str = ""
    old: float | None = None
    new: float | None = None
    unit: str = ""
    limit: float | None = None
    change: float | None = None
    bounds: Interval | None = None
    n: int | None = None
    detectable: float | None = None
    images_needed: int | None = None
    accept: str = ""
    accepted: bool = False

    @property
    def name(self) -> str:
        """One short text that no other check has: `tflite/w8a8 accuracy`."""
        return f"{self.subject} {self.what}"

    @property
    def what(self) -> str:
        """What is compared, one text for each check of a subject: `accuracy`, `slice class 'cat'`."""
        return f"{self.kind} {self.part}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """An image whose answer is another one than in the baseline.

    Attributes:
        image: its name; index: its place in the evaluation images.
        label, float_answer, old, new: names of classes, or their indices where they have no names; `label` None
            without labels, `float_answer` what the float model says now.
        change: lost (it was right), gained (it is right now), or other (neither, or without labels).
        margin: by how much the float model's best class leads the second one, in logits.
        close: that is within a hair, so that little was needed to turn it.
    """

    image: str
    index: int
    label: str | None
    float_answer: str
    old: str
    new: str
    change: Literal["lost", "gained", "other"]
    margin: float
    close: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """All images of one file, or of the float model, whose answer changed.

    Attributes:
        n: images that were compared.
        changed, lost, gained, close: how many answers changed, were right before, are right now, were within a hair.
        share_pct, share_ci95: of changed answers, percent, with its Wilson interval.
        worst: some of them, worst first: lost before other before gained, and those first of which the float model
            was surest.
    """

    subject: str
    n: int
    changed: int
    lost: int
    gained: int
    close: int
    share_pct: float
    share_ci95: Interval
    worst: tuple[Flip, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two things that were compared.

    Attributes:
        path: the bundle, or the baseline file.
        kind: what `path` is.
        created_by: program and version.
        model, weights_sha256: of the float model.
        top1: of the float model, percent; None without labels.
    """

    path: str
    kind: Literal["bundle", "file"]
    created_by: str
    model: str
    weights_sha256: str
    top1: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """The evaluation images, which both sides saw."""

    path: str
    digest: str
    count: int
    labelled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePoint:
    """One file for the plot of accuracy against size and latency; None where it was not measured.

    Attributes:
        side: old or new.
        score_pct: top-1, or agreement with the float model without labels.
        latency_ms: median, both sides measured in this run or none.
    """

    subject: str
    side: Literal["old", "new"]
    score_pct: float | None
    size_bytes: int | None
    latency_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReport:
    """Everything that a comparison with a baseline gave.

    Attributes:
        baseline, bundle: what was held against what.
        outcome: the worst of all checks: regressed, inconclusive, pass.
        exit_code: 0, 1 or 4; see `--on-inconclusive`.
        checks: those that regressed first, then inconclusive, not-compared, pass.
        power: what drop in accuracy these images could have shown, in one sentence.
        policy: where the limits are from, such as "pyproject.toml" or "defaults".
        on_inconclusive: whether a check that could not be decided closes the gate.
        classes: names in index order; empty where the model has none.
        flips: by file; empty where nothing is decided by the outputs.
        notes: plain sentences, such as that files are new and have no baseline.
    """

    baseline: Side
    bundle: Side
    images: Images
    outcome: Outcome
    exit_code: int
    checks: tuple[Check, ...]
    power: str
    policy: str
    on_inconclusive: Literal["fail", "pass"] = "fail"
    classes: tuple[str, ...] = ()
    flips: tuple[Flips, ...] = ()
    points: tuple[FilePoint, ...] = ()
    notes: tuple[str, ...] = ()
    schema_version: SchemaVersion = SCHEMA_VERSION

    def of(self, outcome: Outcome) -> tuple[Check, ...]:
        """The checks that ended so."""
        return tuple(check for check in self.checks if check.outcome == outcome)

    def closes(self, check: Check) -> bool:
        """Whether this check alone would keep the gate from opening."""
        return check.outcome == "regressed" or (
            check.outcome == "inconclusive" and self.on_inconclusive == "fail"
        )

    def raise_for_regression(self) -> None:
        """Do nothing where the gate is open.

        Raises:
            RegressionError: its exit code is not 0; the message has one line for each check that closed it.
        """
        if self.exit_code:
            raise RegressionError(self)


class RegressionError(EdgevitError):
    """Something got worse than its limit, or it could not be decided; `report` has the checks."""

    exit_code = 1
    code = "regressed"

    def __init__(self, report: GateReport) -> None:
        closed = (check for check in report.checks if report.closes(check))
        super().__init__("\n".join(f"{check.outcome}: {check.name}: {check.reason}" for check in closed))
        self.report = report
