"""`edgevit quantize`: the plan alone."""

from __future__ import annotations

from edgevit.core._plain import to_plain
from edgevit.core.disk import output_folder, whole_files
from edgevit.core.errors import UsageError
from edgevit.core.plans import QuantPlan
from edgevit.core.process.scratch import WORK, scratch
from edgevit.core.progress import Progress
from edgevit.core.results.answer import Answer, Table
from edgevit.core.settings.recipe import Recipe
from edgevit.flows import _plan_tables
from edgevit.flows._remember import open_memory, resumable, tidy
from edgevit.flows._run_prepare import backends, prepare
from edgevit.steps import messages
from edgevit.steps.messages import Prepared
from edgevit.steps.resolve import resolve
from edgevit.steps.undecidable_limits import refuse_unjudged


def quantize(recipe: Recipe, progress: Progress) -> Answer:
    """Decide and simulate, convert nothing; with `dry_run` nothing is written either.

    Raises:
        UsageError: no precision that has a plan, limits that nothing here is held against, or the output
            folder exists.
    """
    from edgevit.quant import plan_file

    refuse_unjudged(recipe)
    work = resolve(recipe)
    if not backends(work):
        raise UsageError(
            f"--precision {','.join(recipe.precision)} has no plan",
            "choose w8, w8a8 or another quantized one",
        )
    memory = open_memory(recipe, progress)
    if not recipe.dry_run:
        output_folder.check_output(work.output, recipe.overwrite)
    with resumable(memory, progress), scratch(WORK) as folder:
        prepared = prepare(work, folder, progress, memory)
        tidy(memory, progress)
        plans = plan_file.load(folder / messages.PLANS)
        if not recipe.dry_run:
            with output_folder.staged_beside(work.output) as staged:
                for name in ("plan.json", "plan.safetensors"):
                    whole_files.copy(folder / messages.PLANS / name, staged / name)
                output_folder.place_or_keep(staged, work.output, recipe.overwrite)
    data = {
        "model": prepared.spec.name,
        "preprocess": to_plain(prepared.spec.preprocess),
        "preprocess_origin": prepared.spec.preprocess_origin,
        "weights_origin": prepared.spec.weights_origin,
        "folds": list(prepared.folds),
        "output": None if recipe.dry_run else str(work.output),
        "plans": [_data(plan, prepared) for plan in plans],
        "left_out": dict(prepared.left_out),
        "warnings": list(prepared.warnings),
        "notes": list(prepared.notes),
    }
    missed = any(s.auto_float is not None and not s.auto_float.reached for s in prepared.simulated)
    tables = tuple(table for plan in plans for table in _plan_tables.tables(plan, prepared))
    said = (("notes", prepared.notes), ("warnings", prepared.warnings))
    notices = tuple(Table(title, ("",), tuple((text,) for text in texts)) for title, texts in said if texts)
    origin = Table("preprocessing", ("taken from",), ((prepared.spec.preprocess_origin,),))
    return Answer(data, (*tables, origin, *notices), exit_code=int(missed))


def _data(plan: QuantPlan, prepared: Prepared) -> dict[str, object]:
    simulated = _plan_tables.simulated_of(plan, prepared)
    return {
        "target": plan.target,
        "precision": plan.precision,
        "compute": plan.compute,
        "capabilities": to_plain(plan.capabilities),
        "compression": to_plain(simulated.compression),
        "floor_db": simulated.floor_db,
        "planned_mac_fraction": simulated.integer_macs / prepared.macs if prepared.macs else None,
        "sites": [to_plain(site) for site in plan.sites],
        "skipped": [{"site": site, "reason": reason} for site, reason in plan.skipped],
        "sensitivity": [to_plain(loss) for loss in simulated.sensitivity],
        "reconstruction": (None if simulated.reconstruction is None else to_plain(simulated.reconstruction)),
        "auto_float": None if simulated.auto_float is None else to_plain(simulated.auto_float),
    }
