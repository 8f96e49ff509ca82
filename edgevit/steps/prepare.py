"""The step of a conversion that needs PyTorch: load, prune, export, calibrate, plan, simulate.

Runs in a worker; what later steps need is left in the work folder.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgevit.core.errors import InputError
from edgevit.core.plugins import Head, Samples
from edgevit.core.process.memory import peak_bytes
from edgevit.core.progress import Advance, Emit, Stage
from edgevit.core.results.report import KeptFloat32, Limits
from edgevit.core.settings.made_with import MadeWith
from edgevit.core.settings.plain import settings_to_remember
from edgevit.core.types import ModelSpec, TorchModel
from edgevit.steps import messages, named_outputs, open, size_limits
from edgevit.steps.doubts import compare_images
from edgevit.steps.doubts.diagnose import Diagnosis, diagnose
from edgevit.steps.doubts.other_resize import other_resize
from edgevit.steps.messages import Prepared, PrepareRequest
from edgevit.steps.open import Opened
from edgevit.steps.output_kind import head_kinds, model_kind
from edgevit.steps.planning import auto_float, given_plan
from edgevit.steps.planning import plans as run_plans
from edgevit.steps.planning.auto_float import HeldOut
from edgevit.steps.planning.decide import measure_all, plan_all
from edgevit.steps.planning.graph_variants import fold
from edgevit.steps.run_float import run_float
from edgevit.steps.samples import SYNTHETIC, ReadImages, open_samples, read_opened
from edgevit.steps.simulate import compare, simulate_all

if TYPE_CHECKING:
    import torch

    from edgevit.core.types import Floats, Pixels

CALIBRATION: Final = "calibration"


def prepare(asked: PrepareRequest, emit: Emit) -> Prepared:
    """Load, prune, export, calibrate, plan and simulate. Runs in a worker."""
    import numpy as np
    import torch

    from calibration.suspicious import constant_activations
    from edgevit.graph.float16.range_analysis import IMAGES, scan
    from edgevit.program.sites import total_macs
    from edgevit.quant import plan_file

    work, recipe = Path(asked.work), asked.recipe
    clock = _Clock()
    opened = open.open_all(asked, emit)
    model, given, left_out = opened.model, opened.given, opened.left_out
    clock.lap("load")
    graph = None if recipe.prune else open.export(model, asked, given, left_out, emit)
    clock.lap("export")
    calibrate, evaluate = _read_images(asked, opened, emit)
    clock.lap("load")

    judged = evaluate if evaluate.described is not None or calibrate is None else calibrate
    calibration = None if calibrate is None else torch.from_numpy(_normalise(calibrate.pixels, model))
    unpruned = model
    model, prune_lines = open.prune(model, recipe.prune, calibration, emit)
    if recipe.prune:
        left_out = size_limits.too_large(model.spec, asked.float_limits, bool(recipe.to))
    clock.lap("prune")
    if graph is None:
        graph = open.export(model, asked, given, left_out, emit)
    clock.lap("export")

    reference = run_reference(unpruned, judged.pixels, emit)
    count = min(len(judged.pixels), messages.FIDELITY_IMAGES)
    # Of calibration images there are the normalised ones already.
    shared = calibration if judged is calibrate else None
    inputs = torch.from_numpy(_normalise(judged.pixels[:count], model)) if shared is None else shared[:count]
    np.save(work / messages.PIXELS, judged.pixels)
    named_outputs.save(work / messages.REFERENCE, reference)
    if judged.labels is not None:
        np.save(work / messages.LABELS, judged.labels)
    if evaluate.described is not None:
        named_outputs.save(work / messages.HEAD_LABELS, evaluate.head_labels)
        (work / messages.NAMES).write_text(json.dumps(evaluate.names))
    first = named_outputs.first(reference)
    kind = model_kind(model.spec.output, graph.program, first)
    diagnosis = Diagnosis()
    if judged.labels is not None and kind.decides and recipe.random_weights is None:
        diagnosis = diagnose(unpruned, kind, first, judged.pixels, judged.labels, emit)
    resized = None
    if opened.evaluate is not None and recipe.random_weights is None:
        resized = other_resize(opened.evaluate, unpruned, kind, recipe.evaluate_count)
    deciding, held_out = calibration, None
    if asked.auto_float is not None and calibrate is not None and calibration is not None:
        deciding, held_out = _hold_out(calibrate, calibration, unpruned, asked.auto_float, emit)
    clock.lap("load")
    kept = None
    if asked.scan_float16:
        emit(Stage("looking for values that float16 cannot hold"))
        scanned = (calibrate or judged).pixels[:IMAGES]
        np.save(work / messages.SCANNED, scanned)
        images = (inputs if calibration is None else calibration)[:IMAGES]
        kept = scan(graph, images)
    base, pruned = messages.REFERENCE, None
    if prune_lines:
        base = "base.npz"
        after = run_reference(model, judged.pixels, emit)
        named_outputs.save(work / base, after)
        pruned = compare(reference, after)
    spec = replace(model.spec, output=kind, heads=head_kinds(model.spec, graph.program, reference))
    digest = None if calibrate is None or calibrate.described is None else calibrate.described.digest
    made_with = MadeWith(settings_to_remember(recipe), unpruned.spec.weights_sha256, digest)
    refolded = given_plan.other_images(opened.made_with, digest)
    del model, unpruned, opened
    gc.collect()  # weights that rewrites replaced, as large as the graph's, hang in cycles
    clock.lap("export")

    given, backends = open.possible(asked, given, left_out)
    variants = fold(graph, calibration, backends, work, emit)
    # a plan that is given needs the same folds on the same images, and nothing else of them
    stats = {} if recipe.plan is not None else measure_all(variants, deciding, recipe.seed, emit)
    clock.lap("calibrate")
    if recipe.plan is None:
        plans, tuned = plan_all(variants, stats, deciding, recipe.reconstruct, recipe.seed, emit)
    else:
        plans = run_plans.given_plans(given, variants, emit)
        tuned = (None,) * len(plans)
    keeps = dict.fromkeys(variants.graphs, _sites(kept))
    if kept:
        half = {variants.file_of(p) for p in variants.backends if p.compute == "float16"} - {messages.GRAPH}
        keeps |= {file: _sites(scan(variants.graphs[file], images)) for file in sorted(half)}
    judge = (
        None
        if held_out is None or asked.auto_float is None
        else (_with_kinds(held_out, spec), asked.auto_float)
    )
    looked_at = inputs if deciding is None else deciding
    plans, accounts = run_plans.account_for(plans, variants, looked_at, judge, keeps, recipe.seed, emit)
    plan_file.save(plans, _new(work / messages.PLANS), made_with)
    fits, unlike = compare_images.compare(
        plans,
        tuple(map(variants.graph_of, variants.backends)),
        None if calibrate is None else calibrate.pixels,
        None if evaluate.described is None else evaluate.pixels,
        spec.preprocess,
        emit,
    )
    head = named_outputs.head(reference, count)
    simulated = simulate_all(work, plans, variants, inputs, head, recipe.seed, emit, keeps)
    clock.lap("quantize")
    return Prepared(
        spec=spec,
        macs=total_macs(graph),
        rewrites=graph.rewrites,
        calibrate=calibrate.described if calibrate is not None else None,
        evaluate=evaluate.described,
        images=len(judged.pixels),
        labelled=judged.labels is not None,
        fidelity_images=count,
        base=base,
        pruned=pruned,
        simulated=tuple(
            replace(
                s,
                reconstruction=tuning,
                ranges=fit,
                sensitivity=account.sensitivity,
                auto_float=account.auto_float,
            )
            for s, tuning, account, fit in zip(simulated, tuned, accounts, fits, strict=True)
        ),
        prune=prune_lines,
        left_out=left_out,
        folds=variants.folded,
        keep_float32=kept,
        warnings=(
            *spec.warnings,
            *refolded,
            *(calibrate.warnings if calibrate is not None else ()),
            *evaluate.warnings,
            *unlike,
            *(doubt.text for doubt in diagnosis.doubts),
            *diagnosis.warnings,
            *dict.fromkeys(text for known in stats.values() for text in constant_activations(known)),
        ),
        doubts=diagnosis.doubts,
        other_resize=resized,
        notes=(*graph.notes, *_about_heads(spec, evaluate)),
        timings_s=clock.seconds,
        peak_bytes=peak_bytes(),
    )


def _hold_out(
    images: ReadImages, calibration: torch.Tensor, model: TorchModel, limits: Limits, emit: Emit
) -> tuple[torch.Tensor, HeldOut]:
    """The calibration images that decide plans, and those that judge how many sites stay in float."""
    import numpy as np

    labelled = images.labels is not None or bool(images.head_labels)
    rest, held = (list(part) for part in auto_float.hold_out(len(calibration), labelled, limits))
    reference = run_reference(model, np.ascontiguousarray(images.pixels[held]), emit)
    labels = None if images.labels is None else images.labels[held]
    heads = {
        name: (images.head_labels[name][held] if name in images.head_labels else None, head.output)
        for name, head in model.spec.heads.items()
    }
    return calibration[rest], HeldOut(calibration[held], reference, labels, heads=heads)


def _with_kinds(held_out: HeldOut, spec: ModelSpec) -> HeldOut:
    """With what the outputs are, now that it is known."""
    heads = {name: (labels, spec.heads[name].output) for name, (labels, _) in held_out.heads.items()}
    return replace(held_out, output=spec.output, heads=heads)


def _about_heads(spec: ModelSpec, evaluate: ReadImages) -> Iterator[str]:
    """Which output the labels of the images were taken for, and what is told of the others."""
    if not spec.heads or evaluate.described is None:
        return
    if evaluate.labels is not None:
        yield f"the labels of the evaluation images are taken for those of the output {spec.outputs[0].name}"
    without = [head for head in spec.heads if head not in evaluate.head_labels]
    if without:
        yield (
            f"nothing says what the images show for {', '.join(without)}, so that only the agreement with the float "
            f"model is told: a .npz or a metadata.csv may hold labels_{without[0]} beside labels"
        )


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _sites(kept: tuple[KeptFloat32, ...] | None) -> frozenset[str]:
    return frozenset(k.site for k in kept or ())


class _Clock:
    """Seconds per stage, as they end."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now


def _read_images(asked: PrepareRequest, opened: Opened, emit: Emit) -> tuple[ReadImages | None, ReadImages]:
    """Calibration images (None if not asked for) and those that the files are judged on."""
    from calibration.suspicious import doubts

    spec = opened.model.spec
    static = any(kind.input is not None for p in asked.backends for kind in p.kinds)

    def read(samples: Samples, count: int | None, role: str) -> ReadImages:
        emit(Stage(f"reading {role} images"))
        found = read_opened(
            samples, spec.preprocess, count, asked.recipe.skip_bad_images, lambda n: emit(Advance(n))
        )
        ranges = role == CALIBRATION and static and asked.recipe.plan is None
        if samples.path == SYNTHETIC:
            return found
        doubted = doubts(found.pixels, found.labels, spec.labels, role, ranges)
        return replace(found, warnings=(*found.warnings, *doubted))

    calibrate = None
    if opened.calibrate is not None:
        calibrate = read(opened.calibrate, asked.recipe.calibration_count, CALIBRATION)
    if opened.evaluate is not None:
        return calibrate, read(opened.evaluate, asked.recipe.evaluate_count, "evaluation")
    if calibrate is not None:
        return calibrate, ReadImages(calibrate.pixels, None, None)
    synthetic = read(
        open_samples(SYNTHETIC, Head(channels=spec.preprocess.channels), "evaluate"), None, "synthetic"
    )
    return None, replace(synthetic, labels=None, described=None)


def _normalise(pixels: Pixels, model: TorchModel) -> Floats:
    from edgevit.core.pixels import normalise

    return normalise(pixels, model.spec.preprocess)


def run_reference(model: TorchModel, pixels: Pixels, emit: Emit) -> dict[str, Floats]:
    """Outputs of the float model on all images by name, each float32 (N, ...).

    Raises:
        InputError: one of them is not finite.
    """
    import numpy as np

    emit(Stage("running the float reference", len(pixels)))
    found = run_float(model, pixels, lambda images: emit(Advance(images)))
    if not all(np.isfinite(values).all() for values in found.values()):
        raise InputError(
            "the float model gives NaN or infinite outputs on these images",
            "check its weights and preprocessing",
        )
    return found
