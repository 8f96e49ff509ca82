"""The step that classifies image files with nothing but an artifact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgevit.core import metadata_keys
from edgevit.core._plain import to_plain
from edgevit.core.errors import InputError, StepError
from edgevit.core.outputs import LOGITS_NAME, OutputKind, class_scores, probabilities
from edgevit.core.runner import RunOptions
from edgevit.formats.labels import parse_heads
from edgevit.steps import named_outputs
from edgevit.steps.artifacts import contents_of
from edgevit.steps.output_kind import file_kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def classify(request: dict[str, Any], emit: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Worker function: {artifact, images, top, threads} -> {executed_by, output, outputs_are, warnings,
    images}.

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

    path = Path(request["artifact"])
    runtime, contents = contents_of(path)
    if contents.preprocess is None:
        raise InputError(
            f"{path.name} carries no preprocessing, so its input is unknown",
            "convert it with edgevit, which writes preprocessing and labels into the file",
        )
    pictures = {image: decode(Path(image), contents.preprocess.channels) for image in request["images"]}
    pixels = np.stack([to_pixels(pictures[i], contents.preprocess, i) for i in request["images"]])
    with runtime.open(path, RunOptions(threads=int(request["threads"]))) as runner:
        outputs = runner.run(pixels)
    heads = parse_heads(contents.metadata.get(metadata_keys.HEADS, ""), path)
    first = next(iter(heads), LOGITS_NAME)
    values = np.asarray(named_outputs.named(first, outputs), np.float64)
    if not np.isfinite(values).all():
        raise StepError(f"{path.name} gives NaN or infinite outputs on these images", "validate the file")
    kind = file_kind(contents, values)
    if kind.task == "features":
        raise InputError(f"{path.name} gives features of shape {values.shape[1:]}, not classes")
    document = {
        "executed_by": runtime.label(),
        "output": to_plain(kind),
        "outputs_are": kind.words,
        "warnings": list(remark_on(pictures, contents.preprocess)),
    }
    if kind.task == "regression":
        rows = values.reshape(len(values), -1).tolist()
        images = [
            {"path": p, "classes": [], "values": r} for p, r in zip(request["images"], rows, strict=True)
        ]
        return {**document, "images": images}
    if contents.labels and len(contents.labels) != class_scores(values, kind).shape[1]:
        raise InputError(f"{path.name} carries {len(contents.labels)} labels for {values.shape[1]} classes")
    classes = _most_likely(values, kind, contents.labels, int(request["top"]))
    others = {
        name: _most_likely(
            np.asarray(outputs[name], np.float64), head.output, head.labels, int(request["top"])
        )
        for name, head in heads.items()
        if name != first
    }
    images = [
        {"path": image, "classes": classes[i]}
        | ({"heads": {head: rows[i] for head, rows in others.items()}} if others else {})
        for i, image in enumerate(request["images"])
    ]
    return {**document, "images": images}


def _most_likely(
    values: NDArray[np.float64], kind: OutputKind, labels: tuple[str, ...], top: int
) -> list[list[dict[str, Any]]]:
    """For each image the `top` classes of one output, float64 (N, ...), the most likely first."""
    import numpy as np

    return [
        [
            {
                "index": int(i),
                "label": labels[i] if labels else str(i),
                "probability": float(shares[i]),
                "logit": float(scores[i]) if kind.activation == "none" else None,
            }
            for i in np.argsort(-shares, kind="stable")[:top]
        ]
        for scores, shares in zip(class_scores(values, kind), probabilities(values, kind), strict=True)
    ]
