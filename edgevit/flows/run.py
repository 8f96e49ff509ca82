"""`edgevit run`: images in, classes out, by the file's own preprocessing and labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgevit.core.disk.regular import is_folder
from edgevit.core.errors import InputError
from edgevit.core.results.answer import Answer, Table
from edgevit.core.settings.recipe import Recipe
from edgevit.flows import _jobs
from edgevit.steps.artifacts import one_artifact


def run(artifact: Path, images: tuple[Path, ...], top: int, recipe: Recipe) -> Answer:
    """Execute one converted file on image files; of `recipe` only limits and threads count.

    Raises:
        InputError: the artifact or an image is missing or unreadable.
    """
    artifact = one_artifact(artifact).path
    for image in images:
        if is_folder(image):
            raise InputError(f"{image} is a folder, not an image", f"give its files: {image}/*.jpg")
    request = {
        "artifact": str(artifact.absolute()),
        "images": [str(image) for image in images],
        "top": top,
        "threads": recipe.threads,
    }
    step = f"executing {artifact.name}"
    data = _jobs.run(_jobs.on_file(step, "classify:classify", request, artifact, recipe, recipe.threads))
    title = f"{artifact.name}, executed by {data['executed_by']}; outputs are {data['outputs_are']}"
    tables = [_values(title, data) if data["output"]["task"] == "regression" else _classes(title, data)]
    for head in data["images"][0].get("heads", ()) if data["images"] else ():
        rows = [{**image, "classes": image["heads"][head]} for image in data["images"]]
        tables.append(_classes(f"output {head}", {**data, "images": rows}))
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
