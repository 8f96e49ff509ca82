"""`edgevit validate`: files made earlier, or by other tools, against the float reference."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from edgevit.core import metadata_keys
from edgevit.core.disk import manifest, output_folder
from edgevit.core.disk.artifact import weights_beside
from edgevit.core.disk.regular import is_there
from edgevit.core.disk.space import storage_errors
from edgevit.core.errors import InputError, UsageError
from edgevit.core.precisions import Precision, Variant
from edgevit.core.process.scratch import WORK, scratch
from edgevit.core.progress import Progress, Silent
from edgevit.core.results.report import NotDone, PeakMemory, Report
from edgevit.core.settings.made_with import plan_file, read_made_with
from edgevit.core.settings.model_text import parse_source
from edgevit.core.settings.recipe import Recipe
from edgevit.core.types import ModelSpec
from edgevit.flows import _bundle, _jobs, _outcomes
from edgevit.flows._assemble import assemble
from edgevit.flows._devices.execute import execute_on_devices
from edgevit.flows._devices.sessions import check_devices
from edgevit.flows._remember import open_memory, resumable, tidy
from edgevit.flows._run_execute import backend_of, execute, executing_runtime, time_files, unavailable_reason
from edgevit.flows._run_prepare import prepare
from edgevit.models._preprocess import override
from edgevit.registries import SOURCES, TARGETS
from edgevit.steps import messages
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
        recipe: with an `output`, the files are judged where they are copied to, and the bundle is kept.

    Raises:
        InputError: no such file, or nothing that a target writes.
        UsageError: no images to evaluate on, or `output` is taken.
    """
    told = progress or Silent()
    begin = time.perf_counter()
    found = find_artifacts(path)
    source, _ = parse_source(recipe.model, SOURCES.names())
    if recipe.evaluate is None and not SOURCES.get(source).images:
        raise UsageError(
            "validate needs images", "add --evaluate SAMPLES: a folder of images, a .npz, or demo"
        )
    work = resolve(replace(recipe, to=(), precision=(Precision.FP32,), prune=()))
    check_limits(work.recipe)
    if recipe.output is not None:
        output_folder.check_output(recipe.output, recipe.overwrite)
    check_devices(recipe.device, told)
    memory = open_memory(recipe, told)
    with resumable(memory, told), scratch(WORK) as folder, _staged(recipe.output) as bundle:
        asked = replace(work, recipe=replace(work.recipe, calibrate=None))
        # before the model is loaded: a file that cannot be read is told at once
        files: dict[str, tuple[Built, ...]] = {}
        for file in found:
            precision, backend = _made_as(file, recipe)
            variant = Variant(file.target, precision)
            others = files.get(file.target, ())
            twin = next((b for b in others if b.variant == variant), None)
            if twin is not None:
                raise InputError(
                    f"{twin.path} and {file.path} are both {variant}", "validate one after the other"
                )
            path_now = file.path.absolute() if bundle is None else _copied(file.path, bundle / str(variant))
            built = Built(file.target, precision, 0.0, str(path_now), backend=backend)
            if others and others[0].backend != backend:
                raise InputError(
                    f"{file.path} was made for {backend}, {others[0].path} for {others[0].backend}",
                    "validate one after the other",
                )
            files[file.target] = (*others, built)
        prepared = prepare(asked, folder, told, memory)
        prepared = replace(
            prepared, warnings=(*prepared.warnings, *_other_weights(found[0].path, prepared.spec))
        )
        fp32 = {name: b for name, made in files.items() for b in made if b.precision is Precision.FP32}
        fed = override(prepared.spec.preprocess, file_preprocess or {})
        executed = execute(files, {}, prepared, recipe, folder, told, memory, unknown=True, fed=fed)
        tidy(memory, told)
        good = {n: tuple(b for b in made if _worked(executed.get(b.variant))) for n, made in files.items()}
        timings = time_files(good, fp32, fed, recipe, folder, told)
        devices = execute_on_devices(good, executed, recipe, folder, fed, told)
        missing = tuple(
            NotDone(f"executing {n}", unavailable_reason(n, backend_of(made)))
            for n, made in files.items()
            if executing_runtime(n, backend_of(made)) is None
        )
        root = bundle or (path.absolute().parent if found[0].path == path else path.absolute())
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
            devices,
        )
        if bundle is not None and recipe.output is not None:
            report = replace(report, outcomes=_outcomes.write(bundle, prepared, executed, folder, devices))
            _bundle.write(bundle, report, recipe, prepared.spec, folder / messages.PLANS)
            root = _bundle.swap_in(bundle, report, recipe.output, recipe.overwrite, told).absolute()
        else:
            told.note(
                "nothing was written: --output DIR keeps the files, this report, and what each image was answered, "
                "which edgevit gate compares"
            )
    return replace(report, folder=root)


@contextmanager
def _staged(output: Path | None) -> Iterator[Path | None]:
    """A folder to build the bundle in; none where nothing is kept."""
    if output is None:
        yield None
        return
    with output_folder.staged_beside(output) as bundle:
        yield bundle


def _copied(file: Path, folder: Path) -> Path:
    """A file under the name that all files of a bundle have.

    Raises:
        InputError: it keeps its weights in another file, which it names, so that neither can be renamed.
        StorageError: the disk is full.
    """
    place = folder / f"model{file.suffix}"
    beside = weights_beside(file)
    if beside.is_file() and file.name != place.name:
        raise InputError(
            f"{file.name} keeps its weights in {beside.name}, and files of a bundle are called {place.name}",
            f"export it as {place.name}, or with its weights inside; or leave -o out",
        )
    with storage_errors(place):
        folder.mkdir(parents=True)
        for one in (file, beside):
            if one.is_dir():
                shutil.copytree(one, place)
            elif one.is_file():
                shutil.copyfile(one, place if one == file else folder / one.name)
    return place


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
    return done is not None and done.error is None and not done.refused


def _made_as(file: FoundArtifact, recipe: Recipe) -> tuple[Precision, str]:
    """The precision, from the bundle's folders or else from the file; and the backend, which the file says."""
    target = TARGETS.get(file.target)
    if file.precision is not None and not target.backends:
        return file.precision, target.usual_backend
    request = ArtifactRequest(str(file.path.absolute()))
    step = f"reading {file.path.name}"
    facts = _jobs.run(_jobs.on_file(step, "inspect:artifact", request, file.path, recipe), ArtifactFacts)
    backend = facts.metadata.get(metadata_keys.BACKEND, target.usual_backend)
    return file.precision or facts.precision, backend
