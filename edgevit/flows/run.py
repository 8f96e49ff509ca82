"""`edgevit run`: images in, classes out, by the file's own preprocessing and labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgevit.core.answer import Answer, Table
from edgevit.core.errors import InputError
from edgevit.core.recipe import Recipe
from edgevit.flows import _jobs
from edgevit.flows._artifacts import find_artifacts


def run(artifact: Path, images: tuple[Path, ...], top: int, recipe: Recipe) -> Answer:
    """Execute one converted file on image files; of `recipe` only limits and threads count.

    Raises:
        InputError: the artifact or an image is missing or unreadable.
    """
    if len(find_artifacts(artifact)) != 1 or (artifact.is_dir() and not artifact.suffix):
        raise InputError(f"{artifact} is a bundle, not one file", "give one of the files in it")
    request = {
        "artifact": str(artifact.absolute()),
        "images": [str(image) for image in images],
        "top": top,
        "threads": recipe.threads,
    }
    step = f"executing {artifact.name}"
    data = _jobs.run(_jobs.on_file(step, "_classify:classify", request, artifact, recipe, recipe.threads))
    title = f"{artifact.name}, executed by {data['executed_by']}; outputs are {data['outputs_are']}"
    tables = [_values(title, data) if data["output"]["task"] == "regression" else _classes(title, data)]
    if data["warnings"]:
        tables.append(Table("warnings", ("",), tuple((text,) for text in data["warnings"])))
    return Answer(data, tuple(tables))


def _classes(title: str, data: dict[str, Any]) -> Table:
    rows = tuple(
        (
            image["path"],
            str(rank + 1),
            found["label"],
            f"{100 * found['probability']:.2f} %",
            "" if found["logit"] is None else f"{found['logit']:.3f}",
        )
        for image in data["images"]
        for rank, found in enumerate(image["classes"])
    )
    return Table(title, ("image", "rank", "class", "probability", "logit"), rows)


def _values(title: str, data: dict[str, Any]) -> Table:
    rows = tuple(
        (image["path"], str(index), f"{value:.6g}")
        for image in data["images"]
        for index, value in enumerate(image["values"])
    )
    return Table(title, ("image", "index", "value"), rows)
