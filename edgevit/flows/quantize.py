"""`edgevit quantize`: the plan alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgevit.core import files
from edgevit.core._plain import to_plain
from edgevit.core.answer import Answer, Table
from edgevit.core.errors import UsageError
from edgevit.core.progress import Progress
from edgevit.core.recipe import Recipe
from edgevit.core.types import QuantPlan
from edgevit.flows import _values
from edgevit.flows._prepared import placements, prepare
from edgevit.flows._values import Prepared
from edgevit.flows.resolve import resolve


def quantize(recipe: Recipe, progress: Progress) -> Answer:
    """Decide and simulate, convert nothing; with `dry_run` nothing is written either.

    Raises:
        UsageError: no precision that has a plan, or the output folder exists.
    """
    from edgevit.quant import storage

    work = resolve(recipe)
    if not placements(work):
        raise UsageError(f"--precision {','.join(recipe.precision)} has no plan", "choose w8 or w8a8")
    if not recipe.dry_run:
        files.check_output(work.output, recipe.overwrite)
    with TemporaryDirectory(prefix="edgevit-work-") as scratch:
        folder = Path(scratch)
        prepared = prepare(work, folder, progress)
        plans = storage.load(folder / _values.PLANS)
        if not recipe.dry_run:
            with files.staged_beside(work.output) as staged:
                for name in ("plan.json", "plan.safetensors"):
                    files.write_atomic(staged / name, (folder / _values.PLANS / name).read_bytes())
                files.replace_dir(staged, work.output, recipe.overwrite)
    data = {
        "model": prepared.spec.name,
        "folds": list(prepared.folds),
        "output": None if recipe.dry_run else str(work.output),
        "plans": [_data(plan, prepared) for plan in plans],
        "left_out": dict(prepared.left_out),
    }
    return Answer(data, tuple(_table(plan, prepared) for plan in plans))


def _data(plan: QuantPlan, prepared: Prepared) -> dict[str, Any]:
    simulated = next(
        s for s in prepared.simulated if (s.target, s.precision) == (plan.target, plan.precision)
    )
    return {
        "target": plan.target,
        "precision": plan.precision,
        "compute": plan.compute,
        "compression": to_plain(simulated.compression),
        "floor_db": simulated.floor_db,
        "sites": [to_plain(site) for site in plan.sites],
        "skipped": [{"site": site, "reason": reason} for site, reason in plan.skipped],
    }


def _table(plan: QuantPlan, prepared: Prepared) -> Table:
    found = _data(plan, prepared)
    rows: list[tuple[str, ...]] = [
        (
            site.site,
            site.kind,
            _grid(site.input),
            "int8 per channel" if site.weight is not None else "float",
            _grid(site.output),
            site.bias,
        )
        for site in plan.sites
    ]
    reasons = Counter(reason for _, reason in plan.skipped)
    rows += [(f"{count} sites in float", "", "", "", "", reason) for reason, count in reasons.items()]
    title = (
        f"{plan.target} {plan.precision}: {found['compression']['sqnr_db']:.1f} dB simulated "
        f"on {prepared.fidelity_images} images"
    )
    return Table(title, ("site", "kind", "input", "weight", "output", "bias"), tuple(rows))


def _grid(grid: Any) -> str:
    if grid is None:
        return "float"
    return f"{grid.dtype} scale {grid.scale[0]:.4g} zero point {grid.zero_point[0]}"
