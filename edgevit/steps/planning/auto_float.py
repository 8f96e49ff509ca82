"""`--auto-float`: the most sensitive sites stay in float, as few as the limits ask for on held-out images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from edgevit.core.errors import UsageError
from edgevit.core.outputs import LOGITS, OutputKind
from edgevit.core.plans import QuantPlan
from edgevit.core.progress import Advance, Emit, Stage
from edgevit.core.results.report import AutoFloat, Limits, SiteLoss
from edgevit.core.types import Graph
from edgevit.steps import named_outputs

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from edgevit.steps.named_outputs import Outputs

FEWEST = 16
SHARE = 4


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Calibration images that decide nothing but how many sites stay in float.

    Attributes:
        inputs: normalised, float32 (N, 3, height, width).
        reference: outputs of the float model on them.
        labels: of the first output, int64 (N,); None where they have none.
        output: what the first output is.
        heads: the same of further outputs with class names, by their names.
    """

    inputs: torch.Tensor
    reference: Outputs
    labels: NDArray[np.int64] | None
    output: OutputKind = LOGITS
    heads: Mapping[str, tuple[NDArray[np.int64] | None, OutputKind]] = field(default_factory=dict)


def hold_out(count: int, labelled: bool, limits: Limits) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Indices of the calibration images that decide the plan, and of those that judge it.

    One in four, at least 16, spread evenly, since images come sorted by their class.

    Raises:
        UsageError: too few, or without the labels that a limit needs.
    """
    if count < 2 * FEWEST:
        raise UsageError(
            f"--auto-float holds out {FEWEST} calibration images and needs {FEWEST} others for the plan, "
            f"there are {count}",
            f"give at least {2 * FEWEST}: --calibrate SAMPLES, --calibration-count N",
        )
    if limits.max_drop is not None and not labelled:
        raise UsageError(
            "--auto-float with --max-drop needs labels of the calibration images",
            "give --calibrate a folder of class folders or a .npz with `labels`, or use --min-agreement",
        )
    number = max(FEWEST, count // SHARE)
    held = tuple(index * count // number for index in range(number))
    return tuple(sorted(set(range(count)) - set(held))), held


def leave_float(
    plan: QuantPlan,
    losses: tuple[SiteLoss, ...],
    graph: Graph,
    images: HeldOut,
    limits: Limits,
    keep_float32: frozenset[str],
    total_macs: int,
    emit: Emit,
) -> tuple[QuantPlan, AutoFloat]:
    """The plan without the fewest of its worst sites with which the limits hold, and what that did.

    Where there is no float, they take 16 bits instead.

    Where no number of sites is enough, the plan is as it was and `reached` is False.

    Args:
        losses: of all sites of the plan, worst first.
    """
    import numpy as np

    from edgevit.quant.plan import in_execution_order
    from edgevit.quant.simulate import simulate
    from edgevit.quant.widen import widen

    flags = named(limits)
    reason = f"left in {plan.compute} by --auto-float to keep {' '.join(flags)}"
    tried: dict[int, Outputs] = {}

    def without(number: int) -> QuantPlan:
        left = {loss.site for loss in losses[:number]}
        if plan.capabilities.activations is not None:
            return widen(plan, graph, left)
        kept = tuple(site for site in plan.sites if site.site not in left)
        skipped = tuple((site.site, reason) for site in plan.sites if site.site in left)
        return replace(plan, sites=kept, skipped=in_execution_order(graph, (*plan.skipped, *skipped)))

    def holds(number: int) -> bool:
        stage = f"trying {number} sites in float for {plan.target} {plan.precision}"
        emit(Stage(stage, len(images.inputs)))
        found = simulate(
            graph, without(number), images.inputs, None, lambda n: emit(Advance(n)), keep_float32
        )
        arrays = (np.asarray(value.numpy(), np.float32) for value in found)
        tried[number] = dict(zip(images.reference, arrays, strict=True))
        return _holds(images, tried[number], limits)

    number = fewest(holds, len(losses))
    chosen = without(number or 0)
    names = {f"{site.site}." for site in plan.sites} - {f"{site.site}." for site in chosen.sites}
    tensors = {k: v for k, v in chosen.tensors.items() if k[: k.rindex(".") + 1] not in names}
    left = losses[: number or 0]
    last = len(losses) if number is None else number
    return replace(chosen, tensors=tensors), AutoFloat(
        limits=flags,
        reached=number is not None,
        images=len(images.inputs),
        sqnr_before_db=named_outputs.worst("sqnr", images.reference, tried[0]),
        sqnr_after_db=named_outputs.worst("sqnr", images.reference, tried[last]),
        sites=left,
        mac_fraction=sum(loss.macs for loss in left) / total_macs if total_macs else 0.0,
        into=plan.capabilities.wide or plan.compute,
    )


def fewest(holds: Callable[[int], bool], total: int) -> int | None:
    """The smallest number up to `total` that holds, found by doubling and bisection; None if none does.

    Supposes that what holds for a number holds for all above it.
    """
    if holds(0):
        return 0
    low, high = 0, min(1, total)
    while high > low and not holds(high):
        low, high = high, min(2 * high, total)
    if high == low:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def named(limits: Limits) -> tuple[str, ...]:
    """The limits that were given, as flags."""
    given = (
        ("--max-drop", limits.max_drop),
        ("--min-agreement", limits.min_agreement),
        ("--min-sqnr", limits.min_sqnr),
    )
    return tuple(f"{flag} {value:g}" for flag, value in given if value is not None)


def _holds(images: HeldOut, outputs: Outputs, limits: Limits) -> bool:
    from edgevit.validate.accuracy import measure_accuracy

    if (
        limits.min_sqnr is not None
        and named_outputs.worst("sqnr", images.reference, outputs) < limits.min_sqnr
    ):
        return False
    if limits.min_agreement is None and limits.max_drop is None:
        return True
    judged = {next(iter(images.reference)): (images.labels, images.output), **images.heads}
    found = [
        measure_accuracy(images.reference[name], outputs[name], *known) for name, known in judged.items()
    ]
    if limits.min_agreement is not None and min(f.agreement for f in found) < limits.min_agreement:
        return False
    # On so few images the drop itself is compared: the bound that judges files would rule out every plan.
    drops = [f.drop_pp for f in found if f.drop_pp is not None]
    return limits.max_drop is None or (bool(drops) and max(drops) <= limits.max_drop)
