"""The float model: loaded, pruned, exported and run on the images. All that is quantized is held against it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core._plain import to_plain
from edgevit.core.cache.memory import Memory
from edgevit.core.outputs import OutputKind
from edgevit.core.plans import QuantPlan
from edgevit.core.progress import Emit, Stage
from edgevit.core.results.report import Compression, KeptFloat32, Limits, OtherResize
from edgevit.core.settings.made_with import MadeWith
from edgevit.core.settings.plain import settings_to_remember
from edgevit.core.types import Graph, ModelSpec, TorchModel
from edgevit.steps import messages, named_outputs, open, size_limits
from edgevit.steps.doubts.diagnose import Diagnosis, diagnose
from edgevit.steps.doubts.other_resize import other_resize
from edgevit.steps.images import Images, read_images
from edgevit.steps.kept import Kept, array_digest, user_code
from edgevit.steps.messages import PrepareRequest
from edgevit.steps.open import Opened
from edgevit.steps.output_kind import head_kinds, model_kind
from edgevit.steps.planning import auto_float, given_plan
from edgevit.steps.planning.auto_float import HeldOut
from edgevit.steps.run_float import run_reference
from edgevit.steps.simulate import compare

if TYPE_CHECKING:
    import torch

    from edgevit.steps.named_outputs import Outputs


@dataclass(frozen=True, slots=True)
class FloatModel:
    """The graph that is quantized and converted, and what the float model gave. Its PyTorch module is not kept.

    Attributes:
        spec: of the model that is converted, with what its outputs are.
        reference: outputs of the model before pruning on the judged images.
        inputs: the first of the judged images, normalised, float32 (N, channels, height, width).
        deciding: the calibration images that plans are made from, normalised; None without any.
        held_out: the calibration images that judge how many sites stay in float; None where no limit asks for it.
        keep_float32: operations that float16 would spoil; None where no file has float16.
        base: file in the work folder with the outputs of the graph.
        pruned: the loss by pruning alone; None without.
        prune: a line for each layer that became smaller.
        left_out: target -> why it cannot hold the model.
        given: the plans of `--plan`.
        made_with: what a plan made here says of its making.
        refolded: what to warn of where the plan that was given saw other images.
        diagnosis: doubts about the model itself.
        other_resize: what another filter of the resize costs.
        kept: the cache, for this model.
    """

    spec: ModelSpec
    graph: Graph
    images: Images
    reference: Outputs
    inputs: torch.Tensor
    deciding: torch.Tensor | None
    held_out: HeldOut | None
    keep_float32: tuple[KeptFloat32, ...] | None
    base: str
    pruned: Compression | None
    prune: tuple[str, ...]
    left_out: Mapping[str, str]
    given: tuple[QuantPlan, ...]
    made_with: MadeWith
    refolded: tuple[str, ...]
    diagnosis: Diagnosis
    other_resize: OtherResize | None
    kept: Kept

    @property
    def scanned(self) -> torch.Tensor:
        """The normalised images that show which values float16 cannot hold."""
        return _scanned(self.images, self.inputs)


def measure(asked: PrepareRequest, emit: Emit, lap: Callable[[str], None], memory: Memory) -> FloatModel:
    """Load, prune and export the model, and run it; arrays that later steps need are left in the work folder.

    Args:
        lap: is told the name of each stage as it ends.

    Raises:
        EdgevitError: whatever is wrong with the model, the images or what was asked for.
    """
    recipe, work = asked.recipe, Path(asked.work)
    opened = open.open_all(asked, emit)
    model, left_out = opened.model, opened.left_out
    lap("load")
    graph = None if recipe.prune else open.export(model, asked, opened.given, left_out, emit)
    lap("export")
    images = read_images(asked, opened, emit)
    lap("load")
    pruned, prune_lines = open.prune(model, recipe.prune, images.calibration, emit)
    if recipe.prune:
        left_out = size_limits.too_large(pruned.spec, asked.float_limits, bool(recipe.to))
    lap("prune")
    if graph is None:
        graph = open.export(pruned, asked, opened.given, left_out, emit)
    lap("export")

    kept = _kept(asked, model, graph, memory)
    seen = {"pixels": array_digest(images.judged.pixels)}
    reference = kept.outputs("reference", seen, lambda: run_reference(model, images.judged.pixels, emit))
    _store(work, images, reference)
    kind = model_kind(pruned.spec.output, graph.program, named_outputs.first(reference))
    spec = replace(pruned.spec, output=kind, heads=head_kinds(pruned.spec, graph.program, reference))
    doubts = kept.result(
        _Doubts,
        "doubts",
        {**seen, **_labelled(asked, model, images)},
        lambda: _look_for_doubts(asked, opened, kind, images, reference, emit),
    )
    deciding, held_out = images.calibration, None
    if asked.auto_float is not None and images.calibration is not None:
        deciding, held_out = _hold_out(images, model, spec, asked.auto_float, emit)
    inputs = images.inputs(min(len(images.judged.pixels), messages.FIDELITY_IMAGES), spec.preprocess)
    lap("load")
    unsafe = _scan(graph, images, inputs, work, emit, kept) if asked.scan_float16 else None
    base, loss = messages.REFERENCE, None
    if prune_lines:
        base = "base.npz"
        after = kept.outputs("pruned", seen, lambda: run_reference(pruned, images.judged.pixels, emit))
        named_outputs.save(work / base, after)
        loss = compare(reference, after)
    described = None if images.calibrate is None else images.calibrate.described
    digest = None if described is None else described.digest
    return FloatModel(
        spec=spec,
        graph=graph,
        images=images,
        reference=reference,
        inputs=inputs,
        deciding=deciding,
        held_out=held_out,
        keep_float32=unsafe,
        base=base,
        pruned=loss,
        prune=prune_lines,
        left_out=left_out,
        given=opened.given,
        made_with=MadeWith(settings_to_remember(recipe), model.spec.weights_sha256, digest),
        refolded=given_plan.other_images(opened.made_with, digest),
        diagnosis=doubts.diagnosis,
        other_resize=doubts.other_resize,
        kept=kept,
    )


@dataclass(frozen=True, slots=True)
class _Doubts:
    """What the model's own images say against it."""

    diagnosis: Diagnosis
    other_resize: OtherResize | None


def _kept(asked: PrepareRequest, model: TorchModel, graph: Graph, memory: Memory) -> Kept:
    """The cache, for this model."""
    if not memory.remembered.folder:
        return Kept(memory, {})
    from edgevit.program.digest import graph_digest

    facts = {
        "graph": graph_digest(graph),
        "weights": model.spec.weights_sha256,
        "preprocess": to_plain(model.spec.preprocess),
        "prune": [list(step) for step in asked.recipe.prune],
        "code": user_code(),
    }
    return Kept(memory, facts)


def _labelled(asked: PrepareRequest, model: TorchModel, images: Images) -> dict[str, object]:
    """What doubts depend on besides the model and the pixels."""
    evaluate = images.evaluate
    return {
        "spec": to_plain(model.spec),  # names of classes have an order that may be doubted
        "labels": array_digest(images.judged.labels),
        "images": None if evaluate.described is None else evaluate.described.digest,
        "count": asked.recipe.evaluate_count,
        "random": asked.recipe.random_weights is not None,
    }


def _store(work: Path, images: Images, reference: Outputs) -> None:
    """What the processes that execute files are going to read."""
    import numpy as np

    judged, evaluate = images.judged, images.evaluate
    np.save(work / messages.PIXELS, judged.pixels)
    named_outputs.save(work / messages.REFERENCE, reference)
    if judged.labels is not None:
        np.save(work / messages.LABELS, judged.labels)
    if evaluate.described is not None:
        named_outputs.save(work / messages.HEAD_LABELS, evaluate.head_labels)
        (work / messages.NAMES).write_text(json.dumps(evaluate.names))


def _look_for_doubts(
    asked: PrepareRequest, opened: Opened, kind: OutputKind, images: Images, reference: Outputs, emit: Emit
) -> _Doubts:
    """Whether the model is right about its own images; nobody expects that of random weights."""
    diagnosis, resized, judged = Diagnosis(), None, images.judged
    if asked.recipe.random_weights is not None:
        return _Doubts(diagnosis, resized)
    if judged.labels is not None and kind.decides:
        first = named_outputs.first(reference)
        diagnosis = diagnose(opened.model, kind, first, judged.pixels, judged.labels, emit)
    if opened.evaluate is not None:
        resized = other_resize(opened.evaluate, opened.model, kind, asked.recipe.evaluate_count)
    return _Doubts(diagnosis, resized)


def _hold_out(
    images: Images, model: TorchModel, spec: ModelSpec, limits: Limits, emit: Emit
) -> tuple[torch.Tensor, HeldOut]:
    """The calibration images that decide plans, and those that judge how many sites stay in float."""
    import numpy as np

    read, calibration = images.calibrate, images.calibration
    assert read is not None and calibration is not None, "asked for by the caller"
    labelled = read.labels is not None or bool(read.head_labels)
    rest, held = (list(part) for part in auto_float.hold_out(len(calibration), labelled, limits))
    reference = run_reference(model, np.ascontiguousarray(read.pixels[held]), emit)
    labels = None if read.labels is None else read.labels[held]
    heads = {
        name: (read.head_labels[name][held] if name in read.head_labels else None, head.output)
        for name, head in spec.heads.items()
    }
    return calibration[rest], HeldOut(calibration[held], reference, labels, spec.output, heads)


def _scan(
    graph: Graph, images: Images, inputs: torch.Tensor, work: Path, emit: Emit, kept: Kept
) -> tuple[KeptFloat32, ...]:
    """The operations that float16 would spoil; the pixels that show it are left for the targets' own graphs."""
    import numpy as np

    from edgevit.graph.float16.range_analysis import IMAGES, scan

    emit(Stage("looking for values that float16 cannot hold"))
    np.save(work / messages.SCANNED, (images.calibrate or images.judged).pixels[:IMAGES])
    scanned = _scanned(images, inputs)
    facts = {"scanned": array_digest(scanned)}
    return kept.result(_Unsafe, "float16", facts, lambda: _Unsafe(scan(graph, scanned))).operations


@dataclass(frozen=True, slots=True)
class _Unsafe:
    """What float16 would spoil, as one result."""

    operations: tuple[KeptFloat32, ...]


def _scanned(images: Images, inputs: torch.Tensor) -> torch.Tensor:
    from edgevit.graph.float16.range_analysis import IMAGES

    return (inputs if images.calibration is None else images.calibration)[:IMAGES]
