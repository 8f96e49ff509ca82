"""How a check, and an image whose answer changed, is put into words: the same in every form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgevit.core.results.figures import NOTHING, decibel, megabytes, percent, signed
from edgevit.core.results.gate import Check, Flip, Flips, GateReport, Outcome

COLUMNS: Final = (
    "file",
    "check",
    "baseline",
    "now",
    "change\n[95 % bounds]",
    "limit",
    "images",
    "outcome",
)
ARROW: Final = "\u2192"
WORDS: Final[dict[Outcome, str]] = {
    "regressed": "regressed",
    "inconclusive": "inconclusive",
    "not-compared": "not compared",
    "pass": "passed",
}
_OF_EACH: Final = 3  # worst flips that are told in words


def cells(check: Check) -> tuple[str, ...]:
    """One check as text, in the order of COLUMNS."""
    return (
        check.subject,
        check.kind,
        value(check, check.old),
        value(check, check.new),
        change(check),
        limit(check),
        images(check),
        outcome(check),
    )


def outcome(check: Check) -> str:
    """In a word or two; a pass because of `--accept` is told apart."""
    if check.accepted:
        return "accepted"
    return "pass" if check.outcome == "pass" else WORDS[check.outcome]


def named(check: Check) -> tuple[tuple[str, str], ...]:
    """What the table says of a check besides its name and outcome, where it says anything: (column, text)."""
    columns = (name.partition("\n")[0] for name in COLUMNS[2:-1])
    pairs = zip(columns, cells(check)[2:-1], strict=True)
    return tuple((column, cell) for column, cell in pairs if cell != NOTHING)


def value(check: Check, number: float | None) -> str:
    """`old` or `new` with its unit; sizes in MB."""
    if number is None:
        return NOTHING
    if check.unit == "bytes":
        return megabytes(round(number))
    if check.unit == "%":
        return percent(number)
    if check.unit == "dB":
        text = decibel(number)
        return text if text == "equal" else f"{text} dB"
    return f"{number:.3g} {check.unit}".rstrip()


def change(check: Check, bounds: bool = True) -> str:
    """How much worse, with a plus, or better, and within which bounds."""
    if check.change is None:
        return NOTHING
    text = f"{_plus(check.change)} {change_unit(check)}".rstrip()
    if check.bounds is None or not bounds:
        return text
    return f"{text} [{_plus(check.bounds[0])}, {_plus(check.bounds[1])}]"


def change_unit(check: Check) -> str:
    """Of `change` and `limit`: points of a percentage, dB, or percent of anything else."""
    return {"%": "pp", "dB": "dB", "": ""}.get(check.unit, "%")


def limit(check: Check) -> str:
    """What was allowed."""
    return NOTHING if check.limit is None else f"{check.limit:g} {change_unit(check)}".rstrip()


def images(check: Check) -> str:
    """How many are behind it, and how many would decide."""
    if check.n is None:
        return NOTHING
    return (
        f"{check.n:,}"
        if check.images_needed is None
        else f"{check.n:,} ({check.images_needed:,} would decide)"
    )


def verdict(report: GateReport) -> str:
    """What follows for whoever waits for the gate, by its exit code."""
    return {0: "passed", 4: "inconclusive"}.get(report.exit_code, "failed")


def summary(report: GateReport) -> str:
    """How many checks ended how: "2 regressed, 1 inconclusive, 24 passed"."""
    found = [(len(report.of(kind)), words) for kind, words in WORDS.items()]
    return ", ".join(f"{count} {words}" for count, words in found if count) or "nothing was compared"


def sides(report: GateReport) -> str:
    """What was held against what."""
    return f"{report.bundle.model}: {report.bundle.path} against {report.baseline.path} ({report.baseline.created_by})"


def basis(report: GateReport) -> str:
    """The images, the float model on both sides, and where the limits are from."""
    kind = "labelled images" if report.images.labelled else "images without labels"
    text = f"{report.images.count:,} {kind} of {report.images.path}"
    if report.baseline.top1 is not None and report.bundle.top1 is not None:
        text += f"; float model top-1 {percent(report.baseline.top1)} {ARROW} {percent(report.bundle.top1)}"
    return f"{text}; limits from {report.policy}"


@dataclass(frozen=True, slots=True)
class Remark:
    """Why checks ended as they did; `about` names them all."""

    about: str
    outcome: str
    text: str


def remarks(report: GateReport) -> tuple[Remark, ...]:
    """Reasons of all checks that are no plain pass; one that several share is told once, at the first."""
    about: dict[tuple[str, str], list[Check]] = {}
    for check in report.checks:
        if check.outcome != "pass" or check.accepted:
            about.setdefault((outcome(check), check.reason), []).append(check)
    return tuple(Remark(_names(checks), word, text) for (word, text), checks in about.items())


def _names(checks: list[Check]) -> str:
    """As "tflite/w8 size", or "size of tflite/w8, onnx/w8"."""
    subjects: dict[str, list[str]] = {}
    for check in checks:
        subjects.setdefault(check.what, []).append(check.subject)
    return "; ".join(
        f"{kind} of {', '.join(names)}" if len(names) > 1 else f"{names[0]} {kind}"
        for kind, names in subjects.items()
    )


def has_row(check: Check) -> bool:
    """Whether it stands in a table: what passed with the same figures, or has none, is told in a line instead."""
    return check.outcome != "pass" or check.accepted or check.old != check.new


def also_passed(report: GateReport) -> tuple[str, ...]:
    """What passed and has no row, together for the files that passed the same."""
    kinds: dict[str, list[str]] = {}
    for check in report.of("pass"):
        if not has_row(check):
            kinds.setdefault(check.subject, []).append(check.kind)
    subjects: dict[tuple[str, ...], list[str]] = {}
    for subject, passed in kinds.items():
        subjects.setdefault(tuple(passed), []).append(subject)
    return tuple(f"{', '.join(names)}: {', '.join(passed)}" for passed, names in subjects.items())


def flips_told(report: GateReport) -> tuple[tuple[str, str], ...]:
    """(files, how many of their answers changed); those without any change together, at the end."""
    still = [flips.subject for flips in report.flips if not flips.changed]
    changed = tuple((flips.subject, _flips_words(flips)) for flips in report.flips if flips.changed)
    return (*changed, *([(", ".join(still), "no answer changed")] if still else []))


def _flips_words(flips: Flips) -> str:
    low, high = flips.share_ci95
    return (
        f"{flips.changed:,} of {flips.n:,} answers changed ({percent(flips.share_pct)} [{low:.2f}, {high:.2f}]): "
        f"{flips.lost:,} lost, {flips.gained:,} gained; {flips.close:,} within a hair"
    )


def flip_words(flip: Flip) -> str:
    """One image: what it is, what is said of it, and how sure the float model is."""
    label = "" if flip.label is None else f" ({flip.label})"
    return f"{flip.image}{label}: {flip.old} {ARROW} {flip.new}; {float_words(flip)}"


def float_words(flip: Flip) -> str:
    """What the float model says, and by how much."""
    hair = ", within a hair" if flip.close else ""
    return f"the float model says {flip.float_answer} by {flip.margin:.2g}{hair}"


def worst(report: GateReport) -> tuple[tuple[str, Flip], ...]:
    """The few flips that are told in words: the worst of each file first, then the second ones."""
    ranked = [(rank, flips.subject, flip) for flips in report.flips for rank, flip in enumerate(flips.worst)]
    ranked.sort(key=lambda each: (each[0], each[2].change != "lost"))
    return tuple((subject, flip) for _, subject, flip in ranked[:_OF_EACH])


def _plus(number: float) -> str:
    text = signed(number)
    return f"+{text}" if float(f"{number:.2f}") > 0 else text
