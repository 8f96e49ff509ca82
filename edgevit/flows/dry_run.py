"""`edgevit convert --dry-run`: what a conversion would make, and whether it would get there."""

from __future__ import annotations

from edgevit.core._plain import to_plain
from edgevit.core.disk.output_folder import check_place
from edgevit.core.process.scratch import WORK, scratch
from edgevit.core.progress import Progress
from edgevit.core.results.answer import Answer, Table
from edgevit.core.results.report import NotDone
from edgevit.core.settings.plain import as_json
from edgevit.core.settings.recipe import Recipe
from edgevit.flows import _jobs
from edgevit.flows._run_execute import executing_runtime, unavailable_reason
from edgevit.flows._run_prepare import request_of
from edgevit.registries import TARGETS
from edgevit.steps.rehearse import Listed, Rehearsed
from edgevit.steps.resolve import Work, resolve
from edgevit.steps.size_limits import narrow, require_room
from edgevit.steps.undecidable_limits import check_limits

# Of the contract: something could not be executed.
_NOT_EXECUTED = 3


def dry_run(recipe: Recipe, progress: Progress) -> Answer:
    """Load the model with its weights and labels, list the images, export the graph, and stop.

    Nothing is calibrated, converted or executed, and nothing is written that stays.

    Raises:
        EdgevitError: what the conversion would fail with.
    """
    work = resolve(recipe)
    check_limits(work.recipe)
    check_place(work.output, work.recipe.overwrite)
    step, threads = f"looking at {work.recipe.model}", work.recipe.threads
    with scratch(WORK) as folder:
        request, told = request_of(work, folder), _jobs.stages(progress)
        job = _jobs.job(step, "rehearse:rehearse", request, work.recipe, threads, told, [folder])
        found = _jobs.run(job, Rehearsed)
        work = narrow(work, found.left_out)
        require_room(work, found.spec, folder)
    missing = tuple(
        NotDone(f"executing {n}", unavailable_reason(n, backend))
        for n, backend in work.backends.items()
        if executing_runtime(n, backend) is None
    )
    return _answer(work, found, missing)


def _answer(work: Work, found: Rehearsed, missing: tuple[NotDone, ...]) -> Answer:
    spec = found.spec
    files = tuple(
        f"{target}/{precision}/model.{TARGETS.get(target).suffix}"
        for target, precisions in work.pairs.items()
        for precision in precisions
    )
    not_done = (*work.not_done, *missing)
    data = {
        "output": str(work.output),
        "files": list(files),
        "not_done": [{"what": item.what, "why": item.why} for item in not_done],
        "recipe": as_json(work.recipe),
        "model": {
            "name": spec.name,
            "source": spec.source,
            "parameters": spec.parameters,
            "macs": found.macs,
            "weights_sha256": spec.weights_sha256,
            "weights_origin": spec.weights_origin,
            "preprocess": to_plain(spec.preprocess),
            "preprocess_origin": spec.preprocess_origin,
            "outputs": [to_plain(output) for output in spec.outputs],
            "labels": len(spec.labels),
        },
        "samples": {
            "calibrate": None if found.calibrate is None else to_plain(found.calibrate),
            "evaluate": None if found.evaluate is None else to_plain(found.evaluate),
        },
        "prune": list(found.prune),
        "warnings": list(found.warnings),
        "notes": list(found.notes),
    }
    tables = [
        Table("checked", ("what", "found"), _rows(work, found)),
        Table(f"would be made in {work.output}", ("file",), tuple((name,) for name in files)),
    ]
    if not_done:
        tables.append(Table("left out", ("what", "why"), tuple((item.what, item.why) for item in not_done)))
    if found.warnings:
        tables.append(Table("warnings", ("",), tuple((text,) for text in found.warnings)))
    return Answer(data, tuple(tables), _NOT_EXECUTED if missing else 0)


def _rows(work: Work, found: Rehearsed) -> tuple[tuple[str, str], ...]:
    spec, p = found.spec, found.spec.preprocess
    outputs = ", ".join(f"{o.name} {'x'.join(map(str, o.shape[1:]))}" for o in spec.outputs)
    rows = [
        ("model", f"{spec.name}, {spec.parameters:,} parameters, {found.macs / 1e6:,.0f} million MACs"),
        ("weights", ", ".join(filter(None, (f"sha256 {spec.weights_sha256[:12]}", spec.weights_origin)))),
        ("input", f"{p.height}x{p.width}, {p.color}, mean {_numbers(p.mean)}, std {_numbers(p.std)}"),
        ("preprocessing from", spec.preprocess_origin or "the source's defaults"),
        ("outputs", outputs),
        ("labels", f"{len(spec.labels)}" if spec.labels else "none"),
        ("calibration images", _images(found.calibrate)),
        ("evaluation images", _images(found.evaluate)),
    ]
    rows += [("pruned", line) for line in found.prune]
    rows += [("note", text) for text in found.notes]
    if work.recipe.plan is not None:
        rows.append(("plan", f"{work.recipe.plan} fits every site of the exported graph"))
    return tuple(rows)


def _images(listed: Listed | None) -> str:
    if listed is None:
        return "none"
    kind = "with labels" if listed.labelled else "without labels"
    return f"{listed.used:,} of {listed.found:,} in {listed.path}, {kind}; the first and the last were read"


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
