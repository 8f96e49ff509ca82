"""A plan that a user gives back, held against all that is known, as early as it is known."""

from __future__ import annotations

from pathlib import Path

from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.errors import InputError, UsageError
from edgevit.core.plans import QuantPlan
from edgevit.core.settings.made_with import MadeWith
from edgevit.core.types import Graph, ModelSpec


def read(path: Path, backends: tuple[BackendCapabilities, ...]) -> tuple[QuantPlan, ...]:
    """The plan for each backend, checked as far as it can be without the model. PyTorch is not imported.

    Raises:
        UsageError: there are plans in it, and nothing that is asked for would use one.
        InputError: unreadable, without one of them, or wrong in itself; it names target, precision, site and field.
    """
    from edgevit.quant import plan_file
    from edgevit.quant.check import find_given
    from edgevit.quant.check_alone import check_alone

    stored = plan_file.load(path)
    if stored and not backends:
        names = ", ".join(f"{plan.target} {plan.precision}" for plan in stored)
        raise UsageError(
            f"--plan has plans for {names}, but nothing that is asked for is quantized, so none would be used",
            f"give --precision {stored[0].precision}, or leave --plan out",
        )
    found = tuple(find_given(stored, capabilities) for capabilities in backends)
    for plan, capabilities in zip(found, backends, strict=True):
        check_alone(plan, capabilities)
    return found


def same_weights(made: MadeWith | None, spec: ModelSpec) -> None:
    """Raise InputError if a plan says that it was made for other weights than those of the model."""
    if made is not None and made.weights_sha256 != spec.weights_sha256:
        raise InputError(
            f"--plan was made for weights with the sha256 {made.weights_sha256[:12]}, those of {spec.source} have "
            f"{spec.weights_sha256[:12]}",
            "give the model, --weights or --random-weights and --num-classes that it was made with, or make a new "
            "plan",
        )


def other_images(made: MadeWith | None, digest: str | None) -> tuple[str, ...]:
    """What to tell if a plan was made on other calibration images than those with this digest."""
    if made is None or made.calibration_digest == digest:
        return ()
    return (
        "the calibration images are not those that the plan was made with: where weights are folded by what "
        "images show, the plan fits no longer",
    )


def fit(
    plans: tuple[QuantPlan, ...], backends: tuple[BackendCapabilities, ...], graph: Graph, graph_file: Path
) -> None:
    """Hold plans against the sites of a model that was just exported, before any image goes through it.

    Folds that need images change nothing but the values of weights, so the others are enough to know every
    site; what is left for later is whether the values are those that the plan was made for.

    Args:
        graph: without folds; untouched.
        graph_file: the same, read again for each list of folds.

    Raises:
        InputError: a site that the model has not, or has in another form.
    """
    from edgevit.core.plugins import Fold
    from edgevit.core.types import Stats
    from edgevit.program import graph_file as graphs
    from edgevit.quant.check import check_sites
    from edgevit.registries import ALGORITHMS

    folded: dict[tuple[str, ...], Graph] = {(): graph}
    for plan, capabilities in zip(plans, backends, strict=True):
        folds = [ALGORITHMS.get(name) for name in capabilities.folds]
        free = [f for f in folds if isinstance(f, Fold) and not f.observers]
        names = tuple(n for n in capabilities.folds if ALGORITHMS.get(n) in free)
        if names not in folded:
            folded[names] = graphs.load(graph_file)
            for fold in free:
                fold.apply(folded[names], Stats({}, 0))
        check_sites(plan, folded[names], capabilities)
