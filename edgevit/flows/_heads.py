"""Accuracy of the labelled outputs besides the first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core.results.report import HeadAccuracy
from edgevit.core.types import ModelSpec
from edgevit.steps import messages, named_outputs

if TYPE_CHECKING:
    from edgevit.core.types import Floats


def head_accuracies(
    work: Path, spec: ModelSpec, reference: dict[str, Floats], actual: dict[str, Floats]
) -> tuple[HeadAccuracy, ...]:
    """Agreement of each head with the float model, and top-1 of both where the images have labels for it."""
    from edgevit.validate.accuracy import measure_accuracy, measure_reference

    labels = named_outputs.load(work / messages.HEAD_LABELS) if spec.heads else {}
    found = []
    for name, head in spec.heads.items():
        wanted, given = reference[name], actual[name]
        known = labels.get(name)
        classes = None if known is None else known.astype("int64")[: len(wanted)]
        found.append(
            HeadAccuracy(
                name,
                named_outputs.measure("sqnr", wanted, given),
                measure_accuracy(wanted, given, classes, head.output),
                measure_reference(wanted, classes, head.output).top1,
            )
        )
    return tuple(found)
