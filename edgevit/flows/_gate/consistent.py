"""Whether the parts of a bundle belong together: its report, the answers of images, and the files themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from edgevit.core.disk.artifact import artifact_sha256, artifact_size
from edgevit.core.errors import InputError
from edgevit.core.results import outcomes as o
from edgevit.core.results.report import Report

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AGAIN: Final = "make the bundle again with edgevit convert, with --evaluate SAMPLES"
_ROUNDING: Final = 1e-6  # percentage points


def check(bundle: Path, report: Report, outcomes: o.Outcomes) -> None:
    """The manifest says that nothing changed since the bundle was made; this, that it was made in one piece.

    Raises:
        InputError: a file that is another than the report's, answers of other images or files, or figures that do
            not follow from them.
    """
    for fault in (*_files(bundle, report), *_images(report, outcomes)):
        raise InputError(f"{bundle}: {fault}", AGAIN)
    for fault in _answers(bundle, report, outcomes):
        raise InputError(f"{bundle}: {fault}", AGAIN)


def _twice(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def _files(bundle: Path, report: Report) -> Iterator[str]:
    for name in _twice([artifact.name for artifact in report.artifacts]):
        yield f"its report has {name} twice"
    for artifact in report.artifacts:
        if artifact.path is None:
            if artifact.size_bytes is not None:
                yield f"its report has a size of {artifact.name}, but no file"
            continue
        parts = PurePosixPath(artifact.path).parts
        if artifact.path.startswith("/") or ".." in parts or "\\" in artifact.path:
            yield f"its report names a file outside of it: {artifact.path!r}"
            return  # which is not read
        file = bundle / artifact.path
        if artifact.sha256 != artifact_sha256(file) or artifact.size_bytes != artifact_size(file):
            yield f"{artifact.path} is another file than its report was made with: size or hash differ"


def _images(report: Report, outcomes: o.Outcomes) -> Iterator[str]:
    said = report.samples.evaluate
    if said is None or (said.digest, said.pictures, said.count) != (
        outcomes.digest,
        outcomes.pictures,
        outcomes.count,
    ):
        yield "its answers are of other images than its report"
    if not outcomes.pictures:
        yield "its answers do not say of which pictures they are"
    if not 1 <= outcomes.count <= o.MOST_IMAGES:
        yield f"its answers are of {outcomes.count} images"


def _answers(bundle: Path, report: Report, outcomes: o.Outcomes) -> Iterator[str]:
    known = {artifact.name: artifact for artifact in report.artifacts}
    there = {o.name_of(a.target, a.precision, d.device): d for a in report.artifacts for d in a.devices}
    names = [answers.name for answers in outcomes.artifacts]
    for name in _twice(names):
        yield f"it holds answers of {name} twice"
    for name in sorted(set(names) - set(known) - set(there)):
        yield f"it holds answers of {name}, which is not in its report"
    for name, artifact in known.items():
        executed = artifact.executed_by is not None and artifact.executed_images is None
        if executed and artifact.size_bytes is not None and name not in names:
            yield f"its report says that {name} was executed, but there are no answers of it"
    for name, column in there.items():
        if column.executed_by is not None and name not in names:
            yield f"its report says that {name} was executed, but there are no answers of it"
    labels = (
        None if outcomes.labels is None else o.unpack(outcomes.labels, outcomes.count, f"{bundle}: labels")
    )
    yield from _right("the float model", outcomes.reference, report.reference.top1, labels, outcomes.count)
    for name, answers in zip(names, outcomes.artifacts, strict=True):
        accuracy = known[name].accuracy if name in known else there[name].accuracy
        yield from _right(name, answers, accuracy.top1 if accuracy else None, labels, outcomes.count)
    for head in outcomes.heads:
        given = (
            None if head.labels is None else o.unpack(head.labels, outcomes.count, f"{bundle}: {head.name}")
        )
        for name, answers in (("the float model", head.reference), *((a.name, a) for a in head.artifacts)):
            yield from _not_labels(f"{name} for {head.name}", answers, given, outcomes.count)


def _right(
    name: str, answers: o.Answers, top1: float | None, labels: NDArray[np.generic] | None, count: int
) -> Iterator[str]:
    """Whether what is called right is the label, and as often as the report says."""
    yield from _not_labels(name, answers, labels, count)
    if answers.correct is None:
        return
    share = 100 * float(o.unpack(answers.correct, count, f"{name}: correct").mean())
    if top1 is None:
        yield f"the answers of {name} are right on {share:.2f} % of the images, its report has no accuracy"
    elif abs(share - top1) > _ROUNDING:
        yield f"the answers of {name} are right on {share:.2f} % of the images, its report says {top1:.2f} %"


def _not_labels(
    name: str, answers: o.Answers, labels: NDArray[np.generic] | None, count: int
) -> Iterator[str]:
    """The other way round need not hold: an answer with NaN among its scores is never right."""
    if answers.correct is None:
        return
    if labels is None or answers.answer is None:
        yield f"it says which answers of {name} are right, but has no {'labels' if labels is None else 'answers'}"
        return
    correct = o.unpack(answers.correct, count, f"{name}: correct").astype(bool)
    if (correct & (o.unpack(answers.answer, count, f"{name}: answer") != labels)).any():
        yield f"an answer of {name} counts as right, but is not the label of its image"
