"""Everything a bundle holds besides the files of the targets, and how it gets into its place."""

from __future__ import annotations

import json
from pathlib import Path

from edgevit.core.disk import manifest, whole_files
from edgevit.core.disk.output_folder import keep_beside, place_or_keep
from edgevit.core.progress import Progress
from edgevit.core.results.report import Report
from edgevit.core.settings.plain import lasting
from edgevit.core.settings.recipe import Recipe
from edgevit.core.types import ModelSpec
from edgevit.core.version import __version__
from edgevit.registries import TARGETS
from edgevit.report import html, usage
from edgevit.report import json as report_json


def write(bundle: Path, report: Report, recipe: Recipe, spec: ModelSpec, plans: Path) -> None:
    """Add plan, report, page, USAGE.md and, last, the manifest with everybody's hash."""
    for name in ("plan.json", "plan.safetensors"):
        whole_files.copy(plans / name, bundle / name)
    whole_files.write_atomic(bundle / report_json.FILE_NAME, report_json.render(report))
    whole_files.write_atomic(bundle / "report.html", html.render(report))
    whole_files.write_atomic(bundle / "USAGE.md", usage.render(report, sections=_sections(report)))
    # where results were kept says nothing of the files
    given = {k: v for k, v in lasting(recipe).items() if v not in (None, [], {}, False) and k != "cache"}
    asked = {key: v if isinstance(v, str) else json.dumps(v) for key, v in given.items()}
    model = manifest.ManifestModel(spec.name, spec.source, spec.weights_sha256, spec.author, spec.license)
    described = manifest.build(bundle, f"edgevit {__version__}", model, asked)
    whole_files.write_atomic(
        bundle / manifest.FILE_NAME, json.dumps(manifest.to_json(described), indent=1) + "\n"
    )


def _sections(report: Report) -> tuple[str, ...]:
    """How files are loaded whose targets live in other packages: of each target the first file that passed."""
    found: dict[str, str] = {}
    for artifact in sorted(report.artifacts, key=lambda a: a.verdict != "pass"):
        say = TARGETS.get(artifact.target).usage
        if say is not None and artifact.path is not None and artifact.target not in found:
            try:
                found[artifact.target] = say(artifact.path, report.model)
            except Exception as error:  # noqa: BLE001  of another package: files that are made and judged are not lost
                found[artifact.target] = (
                    f"{artifact.path}: its package fails to say: {type(error).__name__}: {error}"
                )
    return tuple(found.values())


def swap_in(bundle: Path, report: Report, output: Path, overwrite: bool, progress: Progress) -> Path:
    """Put the bundle in its place; an earlier one is not given up for one that could not be finished.

    Raises:
        UsageError: another run put its bundle there meanwhile, and `overwrite` is not set; this one stands
            beside it.
    """
    unfinished = any(a.verdict == "error" for a in report.artifacts)
    place = output
    if unfinished and output.exists():
        place = keep_beside(bundle, output, "incomplete")
        progress.note(f"{output} is left as it was; what could be made is in {place}")
    else:
        place_or_keep(bundle, output, overwrite)
    progress.note(f"written to {place}: report.html has the plots, USAGE.md the code that loads the files")
    return place
