"""What the outputs of an executed file say of it: its loss against the plan and the float model, and its accuracy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core.outputs import OutputKind
from edgevit.core.results.report import ArtifactReport, Fidelity, Total
from edgevit.core.runner import IntegerMacs
from edgevit.flows._heads import head_accuracies
from edgevit.steps import messages, named_outputs
from edgevit.steps.messages import Executed, Prepared, SimulatedPlan
from edgevit.validate.spaces import bring, common, compared_as

if TYPE_CHECKING:
    from edgevit.core.types import Floats


def with_execution(
    found: ArtifactReport, work: Path, prepared: Prepared, executed: Executed, simulated: SimulatedPlan | None
) -> ArtifactReport:
    """What executing the file showed, filled in.

    Args:
        simulated: its plan, None for a file without one or whose plan is not known.
    """
    import numpy as np

    from edgevit.validate.accuracy import measure_accuracy

    assert executed.outputs is not None
    reference = named_outputs.load(work / messages.REFERENCE)
    actual = named_outputs.load(work / executed.outputs)
    count = prepared.images if executed.images is None else executed.images
    reference = named_outputs.head(reference, count)
    labels = np.load(work / messages.LABELS)[:count] if prepared.labelled else None
    if simulated is not None:
        promised = named_outputs.head(named_outputs.load(work / simulated.outputs), count)
    else:
        promised = named_outputs.head(named_outputs.load(work / prepared.base), count)
    own = executed.output or prepared.output_kind
    kind = common(prepared.output_kind, own)
    if kind is not None:
        reference = _brought(reference, prepared.output_kind, kind)
        promised = _brought(promised, prepared.output_kind, kind)
        actual = _brought(actual, own, kind)
    kind = kind or prepared.output_kind
    n = len(named_outputs.first(promised))
    found_here = named_outputs.head(actual, n)
    worst = min(executed.sites, key=lambda site: site.db, default=None)
    integer = executed.integer
    fraction = None if integer is None else integer_fraction(found, prepared, integer.static, integer.dynamic)
    accuracy = None
    if prepared.evaluate is not None and kind.decides:
        accuracy = measure_accuracy(named_outputs.first(reference), named_outputs.first(actual), labels, kind)
    return replace(
        found,
        executed_by=executed.executed_by,
        integer_mac_fraction=fraction,
        float_operators=integer.in_float if integer is not None else (),
        narrow_mac_fraction=_narrow(prepared, integer),
        integer_mac_source=integer.source if integer is not None else None,
        partitions=integer.partitions if integer is not None else None,
        weight_bytes=executed.weight_bytes,
        operators=executed.operators,
        max_rank=executed.max_rank,
        fidelity=Fidelity(
            sqnr_db=named_outputs.worst("sqnr", promised, found_here),
            cosine=named_outputs.worst("cosine", promised, found_here),
            max_abs=named_outputs.worst("max_abs", promised, found_here),
            n=n,
            floor_db=simulated.floor_db if simulated is not None else None,
            site_min_db=worst.db if worst is not None else None,
            site_min=worst.site if worst is not None else None,
        ),
        total=Total(
            sqnr_db=named_outputs.worst("sqnr", named_outputs.head(reference, n), found_here),
            cosine=named_outputs.worst("cosine", named_outputs.head(reference, n), found_here),
            variation_db=_variation(
                kind, named_outputs.first(reference)[:n], named_outputs.first(found_here)
            ),
        ),
        accuracy=accuracy,
        heads=() if prepared.evaluate is None else head_accuracies(work, prepared.spec, reference, actual),
        head=prepared.spec.outputs[0].name if prepared.spec.heads else "",
        sites=executed.sites,
        compared_as=compared_as(prepared.output_kind, own),
        explanation=executed.explanation,
        inputs=executed.takes,
        outputs=executed.gives,
        requires=executed.requires,
        executed_images=count if count < prepared.images else None,
    )


def _narrow(prepared: Prepared, integer: IntegerMacs | None) -> float | None:
    """Of the model's MACs those with 8 bits on either side; None where no others are in integers."""
    if integer is None or not integer.static_by_bits or not prepared.macs:
        return None
    return dict(integer.static_by_bits).get(8, 0) / prepared.macs


def integer_fraction(found: ArtifactReport, prepared: Prepared, static: int, dynamic: int) -> float:
    """Of the model's MACs those in integers; with dynamic ranges only where the precision means them."""
    counted = static + (dynamic if found.precision.activations == "dynamic" else 0)
    return counted / prepared.macs if prepared.macs else 0.0


def _brought(outputs: dict[str, Floats], own: OutputKind, wanted: OutputKind) -> dict[str, Floats]:
    """The same with the first output as `wanted` has it."""
    (name, values), *others = outputs.items()
    return {name: bring(values, own.activation, wanted), **dict(others)}


def _variation(kind: OutputKind, reference: Floats, actual: Floats) -> float | None:
    """SQNR about the reference's mean, float32 (N, ...), of a model that gives one number on more than one image."""
    if kind.task not in ("binary", "regression") or len(reference) < 2:
        return None
    mean = reference.mean(axis=0)
    return named_outputs.measure("sqnr", reference - mean, actual - mean)
