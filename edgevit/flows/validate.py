"""`edgevit validate`: files made earlier, or by other tools, against the float reference."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from edgevit.core.disk import manifest
from edgevit.core.disk.regular import is_there
from edgevit.core.errors import InputError, UsageError
from edgevit.core.precisions import Precision
from edgevit.core.process.scratch import WORK, scratch
from edgevit.core.progress import Progress, Silent
from edgevit.core.results.report import NotDone, PeakMemory, Report
from edgevit.core.settings.made_with import plan_file, read_made_with
from edgevit.core.settings.model_text import parse_source
from edgevit.core.settings.recipe import Recipe
from edgevit.core.types import ModelSpec
from edgevit.flows import _jobs
from edgevit.flows._assemble import assemble
from edgevit.flows._run_execute import execute, executing_runtime, time_files, unavailable_reason
from edgevit.flows._run_prepare import prepare
from edgevit.models._preprocess import override
from edgevit.registries import SOURCES
from edgevit.steps.artifacts import FoundArtifact, find_artifacts
from edgevit.steps.inspect import ArtifactFacts, ArtifactRequest
from edgevit.steps.messages import Built, Executed
from edgevit.steps.resolve import resolve
from edgevit.steps.undecidable_limits import check_limits


def validate(
    path: Path,
    recipe: Recipe,
    progress: Progress | None = None,
    file_preprocess: Mapping[str, str] | None = None,
) -> Report:
    """Execute every file of a bundle, or one file, and hold it against `recipe.model`.

    Without the plan that a file was made from, compression and conversion loss cannot be told
    apart: quantized files are judged by the limits, by floors, and by what runs in integers.

    Args:
        file_preprocess: color, mean, std or normalize of files that carry none, as `--preprocess` takes them.

    Raises:
        InputError: no such file, or nothing that a target writes.
        UsageError: no images to evaluate on.
    """
    told = progress or Silent()
    begin = time.perf_counter()
    found = find_artifacts(path)
    source, _ = parse_source(recipe.model)
    if recipe.evaluate is None and not SOURCES.get(source).images:
        raise UsageError(
            "validate needs images", "add --evaluate SAMPLES: a folder of images, a .npz, or demo"
        )
    work = resolve(replace(recipe, to=(), precision=(Precision.FP32,), prune=()))
    check_limits(work.recipe)
    with scratch(WORK) as folder:
        asked = replace(work, recipe=replace(work.recipe, calibrate=None))
        # before the model is loaded: a file that cannot be read is told at once
        files: dict[str, tuple[Built, ...]] = {}
        for file in found:
            built = Built(file.target, _precision(file, recipe), 0.0, str(file.path.absolute()))
            others = files.get(file.target, ())
            twin = next((b for b in others if b.variant == built.variant), None)
            if twin is not None:
                raise InputError(
                    f"{twin.path} and {file.path} are both {built.variant}", "validate one after the other"
                )
            files[file.target] = (*others, built)
        prepared = prepare(asked, folder, told)
        prepared = replace(
            prepared, warnings=(*prepared.warnings, *_other_weights(found[0].path, prepared.spec))
        )
        fp32 = {name: b for name, made in files.items() for b in made if b.precision is Precision.FP32}
        fed = override(prepared.spec.preprocess, file_preprocess or {})
        executed = execute(files, {}, prepared, recipe, folder, told, unknown=True, fed=fed)
        good = {n: tuple(b for b in made if _worked(executed.get(b.variant))) for n, made in files.items()}
        timings = time_files(good, fp32, fed, recipe, folder, told)
        missing = tuple(
            NotDone(f"executing {n}", unavailable_reason(n)) for n in files if executing_runtime(n) is None
        )
        root = path.absolute().parent if found[0].path == path else path.absolute()
        plans = NotDone(
            "compression and conversion loss apart",
            "the plan's graph is not kept; `total` holds both together",
        )
        report = assemble(
            prepared,
            files,
            executed,
            timings,
            fp32,
            recipe,
            folder,
            root,
            (plans, *missing),
            PeakMemory(prepared.peak_bytes),
            begin,
        )
    return replace(report, folder=root)


def _other_weights(file: Path, spec: ModelSpec) -> tuple[str, ...]:
    """What to tell if the bundle that holds `file` was made of other weights than the reference's."""
    bundle = file.absolute().parent.parent.parent  # BUNDLE/TARGET/PRECISION/model.SUFFIX
    whole = is_there(bundle / manifest.FILE_NAME) and is_there(plan_file(bundle))
    made = read_made_with(bundle) if whole else None
    if made is None or made.weights_sha256 == spec.weights_sha256:
        return ()
    return (
        f"{bundle} was made of weights with the sha256 {made.weights_sha256[:12]}, those of the reference "
        f"{spec.source} have {spec.weights_sha256[:12]}: the files are held against another model than theirs",
    )


def _worked(done: Executed | None) -> bool:
    return done is not None and done.error is None


def _precision(file: FoundArtifact, recipe: Recipe) -> Precision:
    """From the bundle's folders, else from what the file holds and what of it runs in integers."""
    if file.precision is not None:
        return file.precision
    request = ArtifactRequest(str(file.path.absolute()))
    step = f"reading {file.path.name}"
    return _jobs.run(
        _jobs.on_file(step, "inspect:artifact", request, file.path, recipe), ArtifactFacts
    ).precision
