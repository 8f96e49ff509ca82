"""The page of a comparison, in the new bundle or where it was asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from edgevit.core.disk import manifest
from edgevit.core.disk.documents import read_json
from edgevit.core.disk.whole_files import sha256_of, size_of, write_atomic
from edgevit.core.errors import EdgevitError, StorageError
from edgevit.core.progress import Progress
from edgevit.core.results.gate import GateReport
from edgevit.core.settings.recipe import Recipe
from edgevit.flows import _jobs
from edgevit.report.gate import html
from edgevit.steps.thumbnails import Thumbnails, ThumbnailsRequest, Wanted

FILE_NAME: Final = "gate.html"
_MOST: Final = 300  # pictures of a page, of about 3 kB each


def write_page(
    report: GateReport, place: Path | None, thumbnails: bool, recipe: Recipe, told: Progress
) -> None:
    """Write it; by default into the new bundle, whose manifest then lists it.

    Raises:
        StorageError: `place` is read-only or full. A bundle that is read-only gets no page, which is told.
    """
    pictures = _pictures(report, recipe, told) if thumbnails else {}
    text = html.render(report, pictures)
    if place is not None:
        write_atomic(place, text)
        return
    bundle = Path(report.bundle.path)
    try:
        write_atomic(bundle / FILE_NAME, text)
        _list(bundle)
    except StorageError as error:
        told.note(f"no page: {error.message}; --html FILE puts it elsewhere")
    else:
        told.note(f"{bundle / FILE_NAME} has the comparison, with the images whose answer changed")


def _list(bundle: Path) -> None:
    """Put the page's hash into the manifest, which was found to hold before the comparison."""
    path = bundle / manifest.FILE_NAME
    found = manifest.from_json(read_json(path, "the manifest"))
    entry = manifest.FileEntry(FILE_NAME, sha256_of(bundle / FILE_NAME), size_of(bundle / FILE_NAME))
    others = [file for file in found.files if file.path != FILE_NAME]
    files = tuple(sorted((*others, entry), key=lambda file: file.path))
    write_atomic(path, json.dumps(manifest.to_json(replace(found, files=files)), indent=1) + "\n")


def _pictures(report: GateReport, recipe: Recipe, told: Progress) -> Mapping[int, bytes]:
    """Small pictures of the flips, the worst of each file first; none where the images are gone, which is told."""
    named = {flip.index: flip.image for flips in report.flips for flip in flips.worst}
    wanted = tuple(Wanted(index, name) for index, name in list(named.items())[:_MOST])
    if not wanted:
        return {}
    request = ThumbnailsRequest(
        samples=report.images.path, images=wanted, pictures=report.images.digest, labels=report.classes
    )
    told.stage("making small pictures", len(wanted))
    job = _jobs.job(
        "making small pictures",
        "thumbnails:thumbnails",
        request,
        recipe,
        1,
        _jobs.steps_done(told),
        data_only=True,
    )
    try:
        found = _jobs.run(job, Thumbnails)
    except EdgevitError as error:
        told.note(f"no pictures: {error.message}")
        return {}
    if found.note:
        told.note(found.note)
    return found.pictures()
