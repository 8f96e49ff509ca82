"""The step that writes the files of one target, all its precisions in one process."""

from __future__ import annotations

import gc
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgevit.core.disk.space import writing
from edgevit.core.errors import EdgevitError, StepError
from edgevit.core.plans import QuantPlan
from edgevit.core.plugins import Rewrite
from edgevit.core.precisions import Precision
from edgevit.core.process.memory import peak_bytes
from edgevit.core.progress import Emit, FileDone, Stage
from edgevit.core.results.report import KeptFloat32
from edgevit.core.types import Graph
from edgevit.registries import REWRITES, TARGETS
from edgevit.steps import messages
from edgevit.steps.messages import BuildRequest, Built, BuiltAll

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class _Form:
    """What is converted: a graph file, and whether a target may change its weights (it has no plan)."""

    file: str
    planned: bool


def build(asked: BuildRequest, emit: Emit) -> BuiltAll:
    """Write the files of one target. Runs in a worker.

    A precision that cannot be written is reported with its error; the others are still made. Precisions that
    convert the same form of the graph are made one after the other, and the form is dropped before the next
    one is read: two of them are the model twice.
    """
    from edgevit.quant import plan_file

    two_forms = any(r.float_only for r in _rewrites().values() if asked.target in r.targets)
    known = plan_file.load(Path(asked.work) / messages.PLANS)
    plan_of = {p: plan_file.find(known, asked.target, p) for p in asked.precisions}
    form_of = {p: _Form(asked.graphs[p], two_forms and plan_of[p] is not None) for p in asked.precisions}
    made: dict[Precision, Built] = {}
    for form in dict.fromkeys(form_of.values()):
        members = {p: plan_of[p] for p in asked.precisions if form_of[p] == form}
        made |= {built.precision: built for built in _build_form(form, members, asked, emit)}
        gc.collect()  # exported programs hang in cycles
    return BuiltAll(tuple(made[p] for p in asked.precisions), peak_bytes())


def _build_form(
    form: _Form, plan_of: Mapping[Precision, QuantPlan | None], asked: BuildRequest, emit: Emit
) -> Iterator[Built]:
    """One file for each precision that converts `form`."""
    from edgevit.graph.adapt import adapt
    from edgevit.program import graph_file

    target, work = TARGETS.get(asked.target), Path(asked.work)
    prepared: object = None
    unsafe: tuple[KeptFloat32, ...] = ()
    faults: dict[str, EdgevitError | None] = {}
    for precision, plan in plan_of.items():
        emit(Stage(f"{asked.target} {precision}"))
        begin = time.perf_counter()
        folder = Path(asked.folders[precision])
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"model.{target.suffix}"
        try:
            with writing(folder, Path(tempfile.gettempdir())):
                if prepared is None:
                    graph = graph_file.load(work / form.file)
                    faults = {p: _fault(plan, graph) for p, plan in plan_of.items()}
                    graph = adapt(graph, _rewrites(), asked.target, form.planned, asked.without)
                    if Precision.FP32 in plan_of:
                        save_site_values(graph, asked, work / messages.site_values(asked.target))
                    if asked.scan_float16:
                        unsafe = _scan(graph, asked)
                    prepared = target.prepare(graph, asked.spec, asked.options)
                if (fault := faults.get(precision)) is not None:
                    raise fault
                float32 = unsafe if precision in asked.scan_float16 else ()
                if precision == Precision.FP16 and target.wrong_in_float16 is not None:
                    known = {kept.site for kept in float32}
                    wrong = target.wrong_in_float16(prepared)
                    float32 = (*float32, *(kept for kept in wrong if kept.site not in known))
                sites = target.write(prepared, precision, plan, path, frozenset(k.site for k in float32))
                if not isinstance(sites, tuple):  # of a plug-in; () where it names no site
                    raise StepError(
                        f"the target {asked.target} returned no tuple of SiteTensors but {sites!r}",
                        "mend the package of that target: `write` returns (), or where each site is",
                    )
        except EdgevitError as error:
            message = f"{error.message}; {error.hint}" if error.hint else error.message
            trace = "".join(traceback.format_exception(error))
            built = Built(asked.target, precision, time.perf_counter() - begin, error=message, trace=trace)
        else:
            seconds = time.perf_counter() - begin
            backend = target.backend_of(asked.options)
            built = Built(asked.target, precision, seconds, str(path), sites, float32, backend=backend)
        emit(FileDone(built.target, built.precision))
        yield built


def _fault(plan: QuantPlan | None, graph: Graph) -> EdgevitError | None:
    """What no file of the target can hold: writers take every plan for one that its capabilities allow."""
    from edgevit.quant.check import check_sites

    if plan is None:
        return None
    try:
        check_sites(plan, graph, plan.capabilities, f"the plan of {plan.target} {plan.precision}")
    except EdgevitError as error:
        return error
    return None


def _rewrites() -> dict[str, Rewrite]:
    return {name: REWRITES.get(name) for name in REWRITES.names()}


def _scan(graph: Graph, asked: BuildRequest) -> tuple[KeptFloat32, ...]:
    """What float16 would spoil in the target's own graph: its rewrites may have renamed operations."""
    import numpy as np
    import torch

    from edgevit.core.pixels import normalise
    from edgevit.graph.float16.range_analysis import scan

    pixels = np.load(Path(asked.work) / messages.SCANNED)
    return scan(graph, torch.from_numpy(normalise(pixels, asked.spec.preprocess)))


def save_site_values(graph: Graph, asked: BuildRequest, path: Path) -> None:
    """What enters and leaves each weighted site on the first image: the truth that names are confirmed by."""
    import numpy as np
    import torch
    from safetensors.torch import save_file

    from edgevit.core.pixels import normalise
    from edgevit.program.run import run
    from edgevit.program.sites import WEIGHTED, list_sites, site_of

    pixels = np.load(Path(asked.work) / messages.PIXELS, mmap_mode="r")[:1]
    image = torch.from_numpy(normalise(np.asarray(pixels), asked.spec.preprocess))
    sites = [s for s in list_sites(graph) if s.kind in WEIGHTED]
    wanted = {s.source for s in sites} | {s.name for s in sites}

    def at(node: torch.fx.Node, value: Any) -> dict[str, torch.Tensor]:
        return {site_of(node): value} if site_of(node) in wanted and hasattr(value, "shape") else {}

    seen = run(graph, image, observe=at)[1]
    values = {f"{s.name}\tinput": seen[s.source][0] for s in sites}
    values |= {f"{s.name}\toutput": seen[s.name][0] for s in sites}
    save_file({k: v.contiguous().clone() for k, v in values.items()}, path)
