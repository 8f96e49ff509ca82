"""`edgevit run`: images in, classes out, by the file's own preprocessing and labels."""

from __future__ import annotations

from pathlib import Path

from edgevit.core._plain import to_plain
from edgevit.core.disk.regular import is_folder
from edgevit.core.errors import InputError
from edgevit.core.results.answer import Answer, Table
from edgevit.core.settings.recipe import Recipe
from edgevit.flows import _jobs
from edgevit.steps.artifacts import one_artifact
from edgevit.steps.classify import Classified, ClassifyRequest, FoundClass


def run(artifact: Path, images: tuple[Path, ...], top: int, recipe: Recipe) -> Answer:
    """Execute one converted file on image files; of `recipe` only limits and threads count.

    Raises:
        InputError: the artifact or an image is missing or unreadable.
    """
    artifact = one_artifact(artifact).path
    for image in images:
        if is_folder(image):
            raise InputError(f"{image} is a folder, not an image", f"give its files: {image}/*.jpg")
    request = ClassifyRequest(str(artifact.absolute()), tuple(map(str, images)), top, recipe.threads)
    job = _jobs.on_file(
        f"executing {artifact.name}", "classify:classify", request, artifact, recipe, recipe.threads
    )
    found = _jobs.run(job, Classified)
    title = f"{artifact.name}, executed by {found.executed_by}; outputs are {found.outputs_are}"
    first = tuple((image.path, image.classes) for image in found.images)
    tables = [_values(title, found) if found.output.task == "regression" else _classes(title, first)]
    for head in found.images[0].heads or () if found.images else ():
        of_head = tuple((image.path, image.heads[head]) for image in found.images if image.heads is not None)
        tables.append(_classes(f"output {head}", of_head))
    if found.warnings:
        tables.append(Table("warnings", ("",), tuple((text,) for text in found.warnings)))
    return Answer(_plain(found), tuple(tables))


def _plain(found: Classified) -> dict[str, object]:
    """JSON has only what there is: `values` of a regression, `heads` of a model with several, `isolation` in a sandbox.

    The `logit` of a class is None where a file gives none, and stays.
    """
    images = [{k: v for k, v in to_plain(image).items() if v is not None} for image in found.images]
    return {key: value for key, value in {**to_plain(found), "images": images}.items() if value is not None}


def _classes(title: str, images: tuple[tuple[str, tuple[FoundClass, ...]], ...]) -> Table:
    rows = tuple(
        (
            path,
            str(rank + 1),
            found.label,
            f"{100 * found.probability:.2f} %",
            "" if found.logit is None else f"{found.logit:.3f}",
        )
        for path, classes in images
        for rank, found in enumerate(classes)
    )
    return Table(title, ("image", "rank", "class", "probability", "logit"), rows)


def _values(title: str, found: Classified) -> Table:
    rows = tuple(
        (image.path, str(index), f"{value:.6g}")
        for image in found.images
        for index, value in enumerate(image.values or ())
    )
    return Table(title, ("image", "index", "value"), rows)
