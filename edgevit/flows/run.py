"""`edgevit run`: images in, classes out, by the file's own preprocessing and labels."""

from __future__ import annotations

from pathlib import Path

from edgevit.core import worker
from edgevit.core.answer import Answer, Table
from edgevit.core.errors import InputError
from edgevit.flows._artifacts import find_artifacts


def run(artifact: Path, images: tuple[Path, ...], top: int, threads: int) -> Answer:
    """Execute one converted file on image files.

    Raises:
        InputError: the artifact or an image is missing or unreadable.
    """
    if len(find_artifacts(artifact)) != 1 or (artifact.is_dir() and not artifact.suffix):
        raise InputError(f"{artifact} is a bundle, not one file", "give one of the files in it")
    request = {
        "artifact": str(artifact.absolute()),
        "images": [str(image) for image in images],
        "top": top,
        "threads": threads,
    }
    limits = worker.Limits(threads=threads)
    data = worker.run(f"executing {artifact.name}", "edgevit.flows._classify:classify", request, limits)
    rows = tuple(
        (
            image["path"],
            str(rank + 1),
            found["label"],
            f"{100 * found['probability']:.2f} %",
            f"{found['logit']:.3f}",
        )
        for image in data["images"]
        for rank, found in enumerate(image["classes"])
    )
    title = f"{artifact.name}, executed by {data['executed_by']}"
    return Answer(data, (Table(title, ("image", "rank", "class", "probability", "logit"), rows),))
