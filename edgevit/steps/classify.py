"""The step that classifies image files with nothing but an artifact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core import metadata_keys
from edgevit.core.errors import InputError, StepError
from edgevit.core.outputs import LOGITS_NAME, OutputKind, class_scores, probabilities
from edgevit.core.process.sandbox import Isolation
from edgevit.core.progress import Emit
from edgevit.core.runner import RunOptions
from edgevit.formats.labels import parse_heads
from edgevit.steps import named_outputs
from edgevit.steps.artifacts import contents_of
from edgevit.steps.output_kind import file_kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ClassifyRequest:
    """Image files for one artifact, and how many classes of each."""

    artifact: str
    images: tuple[str, ...]
    top: int
    threads: int = 0


@dataclass(frozen=True, slots=True)
class FoundClass:
    """A class with its probability; `logit` is None where the file gives none."""

    index: int
    label: str
    probability: float
    logit: float | None


@dataclass(frozen=True, slots=True)
class Answered:
    """What the file gives for one image.

    Attributes:
        classes: the most likely of the first output; none of a regression, which has `values`.
        heads: further outputs with class names; None where there are none.
    """

    path: str
    classes: tuple[FoundClass, ...]
    values: tuple[float, ...] | None = None
    heads: Mapping[str, tuple[FoundClass, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Classified:
    """The fields are those of `edgevit run --json`; `outputs_are` says in words what `output` is."""

    executed_by: str
    output: OutputKind
    outputs_are: str
    warnings: tuple[str, ...]
    images: tuple[Answered, ...]
    isolation: Isolation | None = None


def classify(asked: ClassifyRequest, emit: Emit) -> Classified:
    """Execute the artifact on each image. Runs in a worker.

    No activation is applied twice: what ends in a softmax or a sigmoid gives its probabilities as they are,
    and then there are no logits. One number is told as two classes. A regression gives `values` instead.

    Raises:
        InputError: the file carries no preprocessing or other labels than classes, or an image cannot be read.
        StepError: the outputs are not finite.
    """
    import numpy as np

    from calibration.decode import decode
    from calibration.load import remark_on
    from calibration.preprocess import to_pixels

    path = Path(asked.artifact)
    runtime, contents = contents_of(path)
    if contents.preprocess is None:
        raise InputError(
            f"{path.name} carries no preprocessing, so its input is unknown",
            "convert it with edgevit, which writes preprocessing and labels into the file",
        )
    pictures = {image: decode(Path(image), contents.preprocess.channels) for image in asked.images}
    pixels = np.stack([to_pixels(pictures[i], contents.preprocess, i) for i in asked.images])
    with runtime.open(path, RunOptions(threads=asked.threads)) as runner:
        outputs = runner.run(pixels)
    heads = parse_heads(contents.metadata.get(metadata_keys.HEADS, ""), path)
    first = next(iter(heads), LOGITS_NAME)
    values = np.asarray(named_outputs.named(first, outputs), np.float64)
    if not np.isfinite(values).all():
        raise StepError(f"{path.name} gives NaN or infinite outputs on these images", "validate the file")
    kind = file_kind(contents, values)
    if kind.task == "features":
        raise InputError(
            f"{path.name} gives features of shape {values.shape[1:]}, not classes",
            "only files with classes can be run; `edgevit validate` compares any outputs",
        )
    told = partial(
        Classified,
        runtime.executed_by(path),
        kind,
        kind.words,
        tuple(remark_on(pictures, contents.preprocess)),
    )
    if kind.task == "regression":
        rows = values.reshape(len(values), -1).tolist()
        return told(tuple(Answered(p, (), tuple(r)) for p, r in zip(asked.images, rows, strict=True)))
    if contents.labels and len(contents.labels) != class_scores(values, kind).shape[1]:
        raise InputError(
            f"{path.name} carries {len(contents.labels)} labels for {values.shape[1]} classes",
            "convert it again with --labels FILE, one name for each class",
        )
    classes = _most_likely(values, kind, contents.labels, asked.top)
    others = {
        name: _most_likely(np.asarray(outputs[name], np.float64), head.output, head.labels, asked.top)
        for name, head in heads.items()
        if name != first
    }
    return told(
        tuple(
            Answered(
                image, classes[i], None, {head: rows[i] for head, rows in others.items()} if others else None
            )
            for i, image in enumerate(asked.images)
        )
    )


def _most_likely(
    values: NDArray[np.float64], kind: OutputKind, labels: tuple[str, ...], top: int
) -> list[tuple[FoundClass, ...]]:
    """For each image the `top` classes of one output, float64 (N, ...), the most likely first."""
    import numpy as np

    return [
        tuple(
            FoundClass(
                index=int(i),
                label=labels[i] if labels else str(i),
                probability=float(shares[i]),
                logit=float(scores[i]) if kind.activation == "none" else None,
            )
            for i in np.argsort(-shares, kind="stable")[:top]
        )
        for scores, shares in zip(class_scores(values, kind), probabilities(values, kind), strict=True)
    ]
