"""What a run begins with and a dry run ends with: everything that can fail is tried before the long stages.

The model from its source, the lists of images, the plan that was given, the graph. All of it runs in a worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.plans import QuantPlan
from edgevit.core.plugins import LoadRequest, Samples
from edgevit.core.progress import Emit, Stage
from edgevit.core.settings.made_with import MadeWith, read_made_with
from edgevit.core.settings.model_text import parse_source
from edgevit.core.settings.recipe import Recipe, label_files
from edgevit.core.types import Graph, TorchModel
from edgevit.registries import METHODS, REWRITES, SOURCES
from edgevit.steps import messages, size_limits, undecidable_limits
from edgevit.steps.messages import PrepareRequest
from edgevit.steps.name_heads import name_heads
from edgevit.steps.output_kind import check_classes, refuse_limits
from edgevit.steps.planning import auto_float, given_plan
from edgevit.steps.samples import head_of, open_samples

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Opened:
    """What is known before any image is decoded.

    Attributes:
        calibrate, evaluate: the lists of images; None where none were asked for.
        given: the plans of `--plan`, one for each backend that was asked for; empty without it.
        made_with: what that plan says of its making.
        left_out: target -> why it cannot hold the model, as far as its size is known before pruning.
    """

    model: TorchModel
    calibrate: Samples | None
    evaluate: Samples | None
    given: tuple[QuantPlan, ...]
    made_with: MadeWith | None
    left_out: Mapping[str, str]


def open_all(asked: PrepareRequest, emit: Emit) -> Opened:
    """Check the plan, load the model, list the images, and hold labels, folders and limits against each other.

    Raises:
        EdgevitError: whatever of that a run would fail with later.
    """
    recipe = asked.recipe
    given = () if recipe.plan is None else given_plan.read(recipe.plan, asked.backends)
    # Read once: the plan of a large model takes seconds.
    made_with = None if recipe.plan is None else read_made_with(recipe.plan)
    emit(Stage("loading the model"))
    model = load_model(recipe)
    refuse_limits(asked.limits, model.spec.output)
    given_plan.same_weights(made_with, model.spec)
    left_out: dict[str, str] = {}
    if not recipe.prune:  # else the size is known only after it
        left_out = size_limits.too_large(model.spec, asked.float_limits, bool(recipe.to))
    head = head_of(model.spec)
    calibrate = None if recipe.calibrate is None else open_samples(recipe.calibrate, head, "calibrate")
    evaluate = None if recipe.evaluate is None else open_samples(recipe.evaluate, head, "evaluate")
    for samples in (calibrate, evaluate):
        if samples is not None:
            check_classes(samples.labels, model.spec, samples.path)
    if asked.auto_float is not None and calibrate is not None:
        found = min(len(calibrate.names), recipe.calibration_count)
        auto_float.hold_out(found, calibrate.labelled, asked.auto_float)
    if evaluate is not None and not evaluate.labelled and asked.limits.max_drop is not None:
        raise undecidable_limits.unlabelled(evaluate.path, asked.limits.max_drop)
    return Opened(model, calibrate, evaluate, given, made_with, left_out)


def load_model(recipe: Recipe, needs_preprocess: bool = True) -> TorchModel:
    """The model that a recipe names, from its source; for its graph alone preprocessing may be unknown."""
    source, argument = parse_source(recipe.model, SOURCES.names())
    names: dict[str, tuple[str, ...]] = {}
    notes: tuple[str, ...] = ()
    files = label_files(recipe)
    if files:
        from edgevit.formats.labels import read_named

        found = {head: read_named(file) for head, file in files.items()}
        names = {head: named.names for head, named in found.items()}
        notes = tuple(
            f"the numbers in {files[head]} count from 1: number 1, {named.names[0]}, is taken for the model's "
            "class 0"
            for head, named in found.items()
            if named.first == 1
        )
    labels = names.pop("", ())
    request = LoadRequest(
        source=recipe.model,
        argument=argument,
        weights=recipe.weights,
        weights_key=recipe.weights_key,
        random_weights=recipe.random_weights,
        num_classes=recipe.num_classes,
        image_size=recipe.image_size,
        model_args=recipe.model_arg,
        preprocess=recipe.preprocess,
        labels=labels,
        needs_preprocess=needs_preprocess,
    )
    model = name_heads(SOURCES.get(source).load(request), names)
    return replace(model, spec=replace(model.spec, warnings=(*model.spec.warnings, *notes)))


def prune(
    model: TorchModel, amounts: tuple[tuple[str, float], ...], calibration: torch.Tensor | None, emit: Emit
) -> tuple[TorchModel, tuple[str, ...]]:
    """A smaller model, and a line for each layer that became smaller; the given one is untouched.

    Raises:
        UnsupportedError: a method finds nothing to remove.
    """
    lines: list[str] = []
    for name, amount in amounts:
        assert calibration is not None, "checked by resolve"
        emit(Stage(f"pruning ({name}={amount:g})"))
        model, notes = METHODS.get(name).prune(model, amount, calibration)
        lines += notes
    return model, tuple(lines)


def export(
    model: TorchModel,
    asked: PrepareRequest,
    given: tuple[QuantPlan, ...],
    left_out: Mapping[str, str],
    emit: Emit,
) -> Graph:
    """The graph, which is also written into the work folder; the plans that were given fit its sites.

    Raises:
        UnsupportedError: torch.export cannot trace the model.
        InputError: a plan is for another model.
    """
    from edgevit.graph.export import export_model
    from edgevit.program import graph_file

    emit(Stage("exporting the graph"))
    rewrites = {name: REWRITES.get(name) for name in REWRITES.names()}
    graph = export_model(model, rewrites, asked.recipe.without)
    path = Path(asked.work) / messages.GRAPH
    graph_file.save(graph, path)
    if given:
        given_plan.fit(*possible(asked, given, left_out), graph, path)
    return graph


def possible(
    asked: PrepareRequest, given: tuple[QuantPlan, ...], left_out: Mapping[str, str]
) -> tuple[tuple[QuantPlan, ...], tuple[BackendCapabilities, ...]]:
    """The plans that were given and the backends, without those of targets that cannot hold the model."""
    plans = tuple(plan for plan in given if plan.target not in left_out)
    return plans, tuple(p for p in asked.backends if p.target not in left_out)
