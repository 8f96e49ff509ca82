"""The limits that a user gives, held against what was measured of one file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from edgevit.core.results.report import Accuracy, ArtifactReport, Limits
from edgevit.validate.floors import Finding, says_nothing
from edgevit.validate.heads import accuracies
from edgevit.validate.statistics import images_to_decide

# No set of images that people judge classifiers on is larger.
_MOST_IMAGES: Final = 100_000


def check_limits(artifact: ArtifactReport, limits: Limits) -> Iterator[Finding]:
    """What fails one of them, what cannot be decided, and what to ask of `--auto-float` that promised more."""
    findings = tuple(_check(artifact, limits))
    yield from findings
    promised = artifact.auto_float
    if promised is not None and promised.reached and any(kind == "fail" for kind, _ in findings):
        stricter = " ".join(_stricter(artifact, limits))
        yield (
            "fail",
            f"--auto-float kept {' '.join(promised.limits)} on {promised.images} held-out calibration images, in "
            "simulation: give it more calibration images like these (--calibrate, --calibration-count), or plan "
            f"with a stricter limit (edgevit quantize --auto-float{stricter and ' '}{stricter}) and pass that plan to "
            "convert --plan with the present limit",
        )


def _stricter(artifact: ArtifactReport, limits: Limits) -> Iterator[str]:
    """Flags whose limits lie as far beyond those that are missed as the file is short of them."""
    heads, total = tuple(accuracy for _, accuracy in accuracies(artifact)), artifact.total
    if limits.min_sqnr is not None and total is not None and total.sqnr_db < limits.min_sqnr:
        yield f"--min-sqnr {math.ceil(2 * limits.min_sqnr - total.sqnr_db)}"
    agreement = min((head.agreement for head in heads), default=100.0)
    if limits.min_agreement is not None and agreement < limits.min_agreement:
        yield f"--min-agreement {100 - (100 - limits.min_agreement) ** 2 / (100 - agreement):.4g}"
    drop = max((head.drop_pp for head in heads if head.drop_pp is not None), default=0.0)
    if limits.max_drop is not None and drop > limits.max_drop > 0:
        yield f"--max-drop {limits.max_drop**2 / drop:.2g}"


def _check(artifact: ArtifactReport, limits: Limits) -> Iterator[Finding]:
    """Each limit is about every output with class names, that on SQNR about all outputs: `total` has the worst."""
    heads = accuracies(artifact)
    if limits.max_drop is not None:
        yield from _drop(heads, limits.max_drop)
    if limits.min_agreement is not None:
        if not heads:
            yield "inconclusive", "the limit on agreement needs images to evaluate on"
        for head, accuracy in heads:
            yield from _agreement(head, accuracy, limits.min_agreement)
    if limits.min_sqnr is not None:
        if artifact.total is None:
            yield "inconclusive", "the limit on SQNR needs a comparison with the float reference"
        elif artifact.total.sqnr_db < limits.min_sqnr:
            yield (
                "fail",
                f"{artifact.total.sqnr_db:.1f} dB against the float reference, "
                f"the limit is {limits.min_sqnr:g} dB",
            )


def _agreement(head: str, accuracy: Accuracy, limit: float) -> Iterator[Finding]:
    if accuracy.agreement < limit:
        yield (
            "fail",
            f"{head}it agrees with the float model on {accuracy.agreement:.2f} % of the images, "
            f"the limit is {limit:g} %",
        )
    elif says_nothing(accuracy, limit):
        yield (
            "inconclusive",
            f"{head}the agreement shows nothing: a file that always gives the same answer would agree with the float "
            f"model on {accuracy.majority:.2f} % of these images; evaluate on images of other classes too",
        )


def _drop(heads: tuple[tuple[str, Accuracy], ...], limit: float) -> Iterator[Finding]:
    """Of the outputs that the images have labels for."""
    labelled = False
    for head, accuracy in heads:
        if accuracy.drop_pp is None or accuracy.drop_bounds95 is None:
            continue
        labelled = True
        low, high = accuracy.drop_bounds95
        measured = f"{head}top-1 drops by {accuracy.drop_pp:.2f} points on {accuracy.n} images"
        if low > limit:
            yield "fail", f"{measured}, with 95 % confidence by more than {low:.2f}; the limit is {limit:g}"
        elif high > limit:
            yield (
                "inconclusive",
                f"{measured}, too few to decide: the true drop is between {low:.2f} and {high:.2f} "
                f"(one-sided 95 % bounds), the limit is {limit:g}{_more_images(accuracy, limit)}",
            )
    if not labelled:
        yield "inconclusive", "the limit on the drop in accuracy needs labelled images to evaluate on"


def _more_images(accuracy: Accuracy, limit: float) -> str:
    """How many images would decide, if they were answered as these were."""
    if accuracy.lost is None or accuracy.gained is None:
        return ""
    needed = images_to_decide(accuracy.lost, accuracy.gained, accuracy.n, limit / 100)
    if needed is None or needed > _MOST_IMAGES:
        return f"; the drop is so near it that not even {_MOST_IMAGES:,} images like these would decide"
    digits = 10 ** max(0, len(str(needed)) - 2)
    return f"; about {-(-needed // digits) * digits:,} images like these would decide"
