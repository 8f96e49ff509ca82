"""The step of a conversion that needs PyTorch: load, prune, export, calibrate, plan, simulate.

Runs in a worker; what later steps need is left in the work folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edgevit.core._plain import from_plain, to_plain
from edgevit.core.errors import InputError, UsageError
from edgevit.core.modeltext import parse_source
from edgevit.core.report import Compression, SampleSet
from edgevit.core.types import (
    Fold,
    Graph,
    LoadRequest,
    Placement,
    QuantPlan,
    Range,
    Rounding,
    Stats,
    TorchModel,
)
from edgevit.flows import _values
from edgevit.flows._samples import SYNTHETIC, read_samples
from edgevit.flows._values import Prepared, PrepareRequest, SimulatedPlan
from edgevit.registries import ALGORITHMS, METHODS, METRICS, OBSERVERS, REWRITES, SOURCES

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from edgevit.core.types import Floats, Pixels

FOLDS = ("layernorm_fold",)
RANGE = "minmax"
ROUNDING = "nearest"

Emit = Callable[[dict[str, Any]], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Images:
    """Images of one role, normalised and as pixels."""

    pixels: Pixels
    labels: NDArray[np.int64] | None
    described: SampleSet | None
    warnings: tuple[str, ...] = ()


def prepare(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Worker function: PrepareRequest -> Prepared, both as plain data."""
    asked = from_plain(PrepareRequest, request, "request")
    return to_plain(_prepare(asked, emit))


def _prepare(asked: PrepareRequest, emit: Emit) -> Prepared:
    import numpy as np
    import torch

    from edgevit.graph import storage
    from edgevit.graph.export import export_model
    from edgevit.graph.sites import total_macs

    work = Path(asked.work)
    clock = _Clock()
    emit({"stage": "loading the model"})
    model = load_model(asked)
    spec = model.spec
    calibrate, evaluate = _read_images(asked, model, emit)
    clock.lap("load")

    judged = evaluate if evaluate.described is not None or calibrate is None else calibrate
    inputs = torch.from_numpy(_normalise(judged.pixels, model))
    reference = _forward(model, inputs, emit)
    np.save(work / _values.PIXELS, judged.pixels)
    np.save(work / _values.REFERENCE, reference)
    if judged.labels is not None:
        np.save(work / _values.LABELS, judged.labels)

    calibration = None if calibrate is None else torch.from_numpy(_normalise(calibrate.pixels, model))
    model, prune_lines = _prune(model, asked.prune, calibration, emit)
    clock.lap("prune")
    emit({"stage": "exporting the graph"})
    rewrites = {name: REWRITES.get(name) for name in REWRITES.names()}
    graph = export_model(model, rewrites, asked.without)
    storage.save(graph, work / _values.GRAPH)
    base, pruned = _values.REFERENCE, None
    if prune_lines:
        base = "base.npy"
        after = _forward(model, inputs, emit)
        np.save(work / base, after)
        pruned = _compression(reference, after)
    _save_site_values(graph, inputs[:1], work / _values.SITE_VALUES)
    clock.lap("export")

    folds, stats, planned = _calibrated(graph, calibration, asked.placements, work, emit)
    clock.lap("calibrate")
    plans = _plan_all(work, asked.placements, stats, planned, emit)
    count = min(len(inputs), _values.FIDELITY_IMAGES)
    simulated = _simulate_all(work, plans, planned, inputs[:count], reference[:count], emit)
    clock.lap("quantize")
    return Prepared(
        spec=model.spec if prune_lines else spec,
        macs=total_macs(graph),
        rewrites=graph.rewrites,
        calibrate=calibrate.described if calibrate is not None else None,
        evaluate=evaluate.described,
        images=len(inputs),
        labelled=judged.labels is not None,
        fidelity_images=count,
        base=base,
        pruned=pruned,
        simulated=simulated,
        prune=prune_lines,
        folds=folds,
        warnings=(*(calibrate.warnings if calibrate is not None else ()), *evaluate.warnings),
        timings_s=clock.seconds,
    )


class _Clock:
    """Seconds per stage, as they end."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = now - self._last
        self._last = now


def load_model(asked: PrepareRequest) -> TorchModel:
    """The model that a request names, from its source."""
    source, argument = parse_source(asked.model)
    labels: tuple[str, ...] = ()
    if asked.labels is not None:
        from edgevit.core.labels import read_labels

        labels = read_labels(Path(asked.labels))
    request = LoadRequest(
        source=asked.model,
        argument=argument,
        weights=None if asked.weights is None else Path(asked.weights),
        random_weights=asked.random_weights,
        num_classes=asked.num_classes,
        image_size=asked.image_size,
        model_args=asked.model_args,
        preprocess=asked.preprocess,
        labels=labels,
    )
    return SOURCES.get(source).load(request)


def _read_images(asked: PrepareRequest, model: TorchModel, emit: Emit) -> tuple[_Images | None, _Images]:
    """Calibration images (None if not asked for) and those that the files are judged on."""
    spec = model.spec

    def read(text: str, count: int | None, stage: str) -> _Images:
        emit({"stage": stage})
        pixels, labels, described, warnings = read_samples(
            text, spec.labels, spec.preprocess, count, asked.skip_bad_images, lambda n: emit({"advance": n})
        )
        return _Images(pixels, labels, described, warnings)

    calibrate = None
    if asked.calibrate is not None:
        calibrate = read(asked.calibrate, asked.calibration_count, "reading calibration images")
    if asked.evaluate is not None:
        return calibrate, read(asked.evaluate, asked.evaluate_count, "reading evaluation images")
    if calibrate is not None:
        return calibrate, _Images(calibrate.pixels, None, None)
    synthetic = read(SYNTHETIC, None, "making synthetic images")
    return None, replace(synthetic, labels=None, described=None)


def _normalise(pixels: Pixels, model: TorchModel) -> Floats:
    from calibration.preprocess import normalise

    return normalise(pixels, model.spec.preprocess)


def _forward(model: TorchModel, inputs: torch.Tensor, emit: Emit) -> Floats:
    """First output of the float model on all images, float32 (N, ...)."""
    import numpy as np
    import torch

    emit({"stage": "running the float reference", "total": len(inputs)})
    parts = []
    with torch.no_grad():
        for start in range(0, len(inputs), 32):
            chunk = inputs[start : start + 32]
            out = model.module(chunk)
            parts.append((out if isinstance(out, torch.Tensor) else out[0]).numpy())
            emit({"advance": len(chunk)})
    joined = np.concatenate(parts)
    if not np.isfinite(joined).all():
        raise InputError(
            "the float model gives NaN or infinite outputs on these images",
            "check its weights and preprocessing",
        )
    return joined


def _prune(
    model: TorchModel, amounts: tuple[tuple[str, float], ...], calibration: torch.Tensor | None, emit: Emit
) -> tuple[TorchModel, tuple[str, ...]]:
    lines: list[str] = []
    for name, amount in amounts:
        if calibration is None:
            raise UsageError(f"--prune {name}={amount:g} needs images", "add --calibrate SAMPLES")
        emit({"stage": f"pruning ({name}={amount:g})"})
        model, told = METHODS.get(name).prune(model, amount, calibration)
        lines += told
    return model, tuple(lines)


def _calibrated(
    graph: Graph, calibration: torch.Tensor | None, placements: tuple[Placement, ...], work: Path, emit: Emit
) -> tuple[tuple[str, ...], Stats, dict[bool, tuple[str, Graph]]]:
    """Folds that fired, statistics after them, and the graph file for plans without and with activations."""
    from edgevit.graph import storage

    plain = (_values.GRAPH, graph)
    empty = Stats({}, 0)
    if not any(_wants_activations(p) for p in placements):
        return (), empty, {False: plain, True: plain}
    assert calibration is not None, "the command line asks for --calibrate"
    folded = storage.load(work / _values.GRAPH)
    names: list[str] = []
    for name in FOLDS:
        fold = _algorithm(name, Fold)
        names += fold.apply(folded, _measure(folded, calibration, fold.observers, emit))
    chosen = plain
    if names:
        storage.save(folded, work / _values.FOLDED)
        chosen = (_values.FOLDED, folded)
    stats = _measure(chosen[1], calibration, _algorithm(RANGE, Range).observers, emit)
    return tuple(names), stats, {False: plain, True: chosen}


def _measure(graph: Graph, images: torch.Tensor, observers: tuple[str, ...], emit: Emit) -> Stats:
    from calibration.collect import collect
    from edgevit.graph.run import run
    from edgevit.graph.sites import site_of
    from edgevit.quant.plan import wanted_tensors

    emit({"stage": "calibrating", "total": len(images)})

    def observed(look: Callable[[str, torch.Tensor], Any]) -> dict[str, torch.Tensor]:
        def at(node: torch.fx.Node, value: Any) -> Any:
            return look(site_of(node), value) if hasattr(value, "amax") else {}

        return run(graph, images, observe=at, advance=lambda n: emit({"advance": n}))[1]

    used = {name: OBSERVERS.get(name) for name in observers}
    return collect(observed, wanted_tensors(graph, observers), used, len(images))


def _plan_all(
    work: Path,
    placements: tuple[Placement, ...],
    stats: Stats,
    graphs: dict[bool, tuple[str, Graph]],
    emit: Emit,
) -> tuple[QuantPlan, ...]:
    from edgevit.quant import storage
    from edgevit.quant.plan import make_plan

    emit({"stage": "deciding scales and rounding"})
    plans = tuple(
        make_plan(
            graphs[_wants_activations(p)][1],
            stats,
            p,
            _algorithm(RANGE, Range),
            _algorithm(ROUNDING, Rounding),
        )
        for p in placements
    )
    folder = work / _values.PLANS
    folder.mkdir()
    storage.save(plans, folder)
    return plans


def _simulate_all(
    work: Path,
    plans: tuple[QuantPlan, ...],
    graphs: dict[bool, tuple[str, Graph]],
    inputs: torch.Tensor,
    reference: Floats,
    emit: Emit,
) -> tuple[SimulatedPlan, ...]:
    """Simulate each plan once; plans that differ only in the name of their target share the run."""
    import numpy as np

    from edgevit.quant.simulate import simulate

    done: list[tuple[QuantPlan, SimulatedPlan]] = []
    for plan in plans:
        twin = next((s for p, s in done if _same_arithmetic(p, plan)), None)
        if twin is not None:
            done.append((plan, replace(twin, target=plan.target, precision=plan.precision)))
            continue
        integer = any(site.input is not None for site in plan.sites)
        file, graph = graphs[integer]
        passes = 2 if integer else 1
        emit({"stage": f"simulating {plan.target} {plan.precision}", "total": passes * len(inputs)})

        def once(seed: int | None, plan: QuantPlan = plan, graph: Graph = graph) -> Floats:
            out = simulate(graph, plan, inputs, seed, lambda n: emit({"advance": n}))
            return np.asarray(out.numpy(), np.float32)

        outputs = once(None)
        name = f"simulated-{plan.target}-{plan.precision}.npy"
        np.save(work / name, outputs)
        floor = float(METRICS.get("sqnr").compute(outputs, once(0), None)) if integer else None
        result = SimulatedPlan(
            plan.target, plan.precision, name, file, _compression(reference, outputs), floor
        )
        done.append((plan, result))
    return tuple(s for _, s in done)


def _save_site_values(graph: Graph, image: torch.Tensor, path: Path) -> None:
    """What enters and leaves each weighted site on one image: the truth that names are confirmed by."""
    from safetensors.torch import save_file

    from edgevit.graph.run import run
    from edgevit.graph.sites import WEIGHTED, list_sites, site_of

    sites = [s for s in list_sites(graph) if s.kind in WEIGHTED]
    wanted = {s.source for s in sites} | {s.name for s in sites}

    def at(node: torch.fx.Node, value: Any) -> dict[str, torch.Tensor]:
        return {site_of(node): value} if site_of(node) in wanted and hasattr(value, "shape") else {}

    seen = run(graph, image, observe=at)[1]
    values = {f"{s.name}\tinput": seen[s.source][0] for s in sites}
    values |= {f"{s.name}\toutput": seen[s.name][0] for s in sites}
    save_file({k: v.contiguous().clone() for k, v in values.items()}, path)


def _same_arithmetic(first: QuantPlan, second: QuantPlan) -> bool:
    import numpy as np

    return (
        first.compute == second.compute
        and first.sites == second.sites
        and first.graph_sha256 == second.graph_sha256
        and first.tensors.keys() == second.tensors.keys()
        and all(np.array_equal(v, second.tensors[k]) for k, v in first.tensors.items())
    )


def _wants_activations(placement: Placement) -> bool:
    return any(kind.input is not None for kind in placement.kinds)


def _compression(reference: Floats, candidate: Floats) -> Compression:
    sqnr, cosine = (float(METRICS.get(n).compute(reference, candidate, None)) for n in ("sqnr", "cosine"))
    return Compression(sqnr, cosine)


def _algorithm(name: str, kind: type[T]) -> T:
    found = ALGORITHMS.get(name)
    if not isinstance(found, kind):
        raise TypeError(f"the algorithm {name} is no {kind.__name__}")
    return found
