"""The step that classifies image files with nothing but an artifact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgevit.core.errors import InputError, StepError
from edgevit.core.runner import RunOptions
from edgevit.flows._artifacts import contents_of


def classify(request: dict[str, Any], emit: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Worker function: {artifact, images, top, threads} -> {executed_by, images: [{path, classes}]}.

    Raises:
        InputError: the file carries no preprocessing or other labels than classes, or an image cannot be read.
        StepError: the outputs are not finite.
    """
    import numpy as np

    from calibration.decode import decode
    from calibration.preprocess import to_pixels

    path = Path(request["artifact"])
    runtime, contents = contents_of(path)
    if contents.preprocess is None:
        raise InputError(
            f"{path.name} carries no preprocessing, so its input is unknown",
            "convert it with edgevit, which writes preprocessing and labels into the file",
        )
    pixels = np.stack(
        [to_pixels(decode(Path(image)), contents.preprocess, image) for image in request["images"]]
    )
    with runtime.open(path, RunOptions(threads=int(request["threads"]))) as runner:
        outputs = runner.run(pixels)
    logits = np.asarray(outputs.get("logits", next(iter(outputs.values()))), np.float64)
    if logits.ndim != 2:
        raise InputError(f"{path.name} gives features of shape {logits.shape[1:]}, not classes")
    if not np.isfinite(logits).all():
        raise StepError(f"{path.name} gives NaN or infinite outputs on these images", "validate the file")
    if contents.labels and len(contents.labels) != logits.shape[1]:
        raise InputError(f"{path.name} carries {len(contents.labels)} labels for {logits.shape[1]} classes")
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    shares = shifted / shifted.sum(1, keepdims=True)
    found = []
    for image, row, scores in zip(request["images"], shares, logits, strict=True):
        best = np.argsort(-row, kind="stable")[: int(request["top"])]
        classes = [
            {
                "index": int(i),
                "label": contents.labels[i] if contents.labels else str(i),
                "probability": float(row[i]),
                "logit": float(scores[i]),
            }
            for i in best
        ]
        found.append({"path": image, "classes": classes})
    return {"executed_by": runtime.label(), "images": found}
