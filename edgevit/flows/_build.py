"""The step that writes the files of one target, all its precisions in one process."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgevit.core._memory import peak_bytes
from edgevit.core._plain import from_plain, to_plain
from edgevit.core.errors import EdgevitError
from edgevit.core.report import KeptFloat32
from edgevit.core.types import Graph, QuantPlan
from edgevit.flows import _values
from edgevit.flows._values import BuildRequest, Built, BuiltAll
from edgevit.registries import REWRITES, TARGETS

if TYPE_CHECKING:
    import torch


def build(request: dict[str, Any], emit: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Worker function: BuildRequest -> BuiltAll, both as plain data.

    A precision that cannot be written is reported with its error; the others are still made.
    """
    from edgevit.graph import storage
    from edgevit.graph.adapt import adapt
    from edgevit.quant import storage as plans

    asked = from_plain(BuildRequest, request, "request")
    work = Path(asked.work)
    target = TARGETS.get(asked.target)
    rewrites = {name: REWRITES.get(name) for name in REWRITES.names()}
    two_forms = any(r.float_only for r in rewrites.values() if asked.target in r.targets)
    known = plans.load(work / _values.PLANS)
    prepared: dict[tuple[str, bool], object] = {}
    spoiled: dict[tuple[str, bool], tuple[KeptFloat32, ...]] = {}
    files = []
    for precision in asked.precisions:
        emit({"stage": f"{asked.target} {precision}"})
        begin = time.perf_counter()
        file = asked.graphs[precision]
        plan: QuantPlan | None = plans.find(known, asked.target, precision)
        form = (file, two_forms and plan is not None)
        folder = Path(asked.folders[precision])
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"model.{target.suffix}"
        try:
            if form not in prepared:
                graph = adapt(storage.load(work / file), rewrites, asked.target, form[1], asked.without)
                if precision == _values.FP32:
                    save_site_values(graph, asked, work / _values.site_values(asked.target))
                if asked.scan_float16:
                    spoiled[form] = _scan(graph, asked)
                prepared[form] = target.prepare(graph, asked.spec, asked.options)
            float32 = spoiled[form] if precision in asked.scan_float16 else ()
            sites = target.write(prepared[form], precision, plan, path, frozenset(k.site for k in float32))
        except EdgevitError as error:
            told = f"{error.message}; {error.hint}" if error.hint else error.message
            files.append(Built(asked.target, precision, time.perf_counter() - begin, error=told))
        else:
            files.append(
                Built(asked.target, precision, time.perf_counter() - begin, str(path), sites, float32)
            )
        emit({"built": to_plain(files[-1])})
    return to_plain(BuiltAll(tuple(files), peak_bytes()))


def _scan(graph: Graph, asked: BuildRequest) -> tuple[KeptFloat32, ...]:
    """What float16 would spoil in the target's own graph: its rewrites may have renamed operations."""
    import numpy as np
    import torch

    from edgevit.core.pixels import normalise
    from edgevit.graph.half_range import scan

    pixels = np.load(Path(asked.work) / _values.SCANNED)
    return scan(graph, torch.from_numpy(normalise(pixels, asked.spec.preprocess)))


def save_site_values(graph: Graph, asked: BuildRequest, path: Path) -> None:
    """What enters and leaves each weighted site on the first image: the truth that names are confirmed by."""
    import numpy as np
    import torch
    from safetensors.torch import save_file

    from edgevit.core.pixels import normalise
    from edgevit.graph.run import run
    from edgevit.graph.sites import WEIGHTED, list_sites, site_of

    pixels = np.load(Path(asked.work) / _values.PIXELS, mmap_mode="r")[:1]
    image = torch.from_numpy(normalise(np.asarray(pixels), asked.spec.preprocess))
    sites = [s for s in list_sites(graph) if s.kind in WEIGHTED]
    wanted = {s.source for s in sites} | {s.name for s in sites}

    def at(node: torch.fx.Node, value: Any) -> dict[str, torch.Tensor]:
        return {site_of(node): value} if site_of(node) in wanted and hasattr(value, "shape") else {}

    seen = run(graph, image, observe=at)[1]
    values = {f"{s.name}\tinput": seen[s.source][0] for s in sites}
    values |= {f"{s.name}\toutput": seen[s.name][0] for s in sites}
    save_file({k: v.contiguous().clone() for k, v in values.items()}, path)
