"""Everything a bundle holds besides the files of the targets, and how it gets into its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from edgevit.core.disk import manifest, whole_files
from edgevit.core.disk.output_folder import keep_beside, place_or_keep
from edgevit.core.progress import Progress
from edgevit.core.results.report import ModelSummary, Report
from edgevit.core.settings.recipe import Recipe, lasting
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
    whole_files.write_atomic(bundle / "USAGE.md", usage.render(report, sections=_sections()))
    given = {key: value for key, value in lasting(recipe).items() if value not in (None, [], {}, False)}
    asked = {key: v if isinstance(v, str) else json.dumps(v) for key, v in given.items()}
    model = manifest.ManifestModel(spec.name, spec.source, spec.weights_sha256, spec.author, spec.license)
    described = manifest.build(bundle, f"edgevit {__version__}", model, asked)
    whole_files.write_atomic(
        bundle / manifest.FILE_NAME, json.dumps(manifest.to_json(described), indent=1) + "\n"
    )


def _sections() -> dict[str, Callable[[str, ModelSummary], str]]:
    """By suffix: how targets of other packages say how their files are loaded."""
    targets = map(TARGETS.get, TARGETS.names())
    return {target.suffix: target.usage for target in targets if target.usage is not None}


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
