"""Simulate every plan on the evaluation images: the compression loss, and the floor of all comparisons."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core.decibels import sqnr_db
from edgevit.core.plans import QuantPlan
from edgevit.core.progress import Advance, Emit, Stage
from edgevit.core.quant_params import QuantParams
from edgevit.core.results.report import Compression
from edgevit.core.types import Graph
from edgevit.program.side_by_side import each
from edgevit.steps import messages, named_outputs
from edgevit.steps.kept import NOTHING, Kept, array_digest, plan_digest
from edgevit.steps.messages import SimulatedPlan
from edgevit.steps.planning.graph_variants import GraphVariants

if TYPE_CHECKING:
    import torch

    from edgevit.steps.named_outputs import Outputs

# One rounding decision that flips costs tens of dB. On few images a run may see none of them by luck, so it
# is repeated with other noise until twice as many have gone through, and the worst run is the floor. More images
# than that say nothing new.
NOISY_IMAGES = 64


def simulate_all(
    work: Path,
    plans: tuple[QuantPlan, ...],
    variants: GraphVariants,
    inputs: torch.Tensor,
    reference: Outputs,
    seed: int,
    emit: Emit,
    keep_float32: Mapping[str, frozenset[str]],
    kept: Kept = NOTHING,
) -> tuple[SimulatedPlan, ...]:
    """Simulate each plan once; plans that differ only in the name of their target share the run.

    Args:
        keep_float32: file of a graph -> the sites that files which compute in float16 compute in float32.
    """
    import numpy as np

    from edgevit.quant.simulate import simulate

    own = [p for i, p in enumerate(plans) if not any(same_arithmetic(q, p) for q in plans[:i])]
    noisy = 1 if len(inputs) >= NOISY_IMAGES else math.ceil(2 * NOISY_IMAGES / len(inputs))
    some = inputs[:NOISY_IMAGES]
    passes = sum(len(inputs) + noisy * len(some) * _is_integer(plan) for plan in own)
    emit(Stage("simulating the plans", passes))

    def one(plan: QuantPlan) -> SimulatedPlan:
        integer, file = _is_integer(plan), variants.file_of(plan.capabilities)
        graph = variants.graphs[file]

        def once(images: torch.Tensor, noise: int | None) -> Outputs:
            keep = keep_float32[file]
            found = simulate(graph, plan, images, noise, lambda n: emit(Advance(n)), keep)
            values = (np.asarray(value.numpy(), np.float32) for value in found)
            return dict(zip(reference, values, strict=True))

        outputs = once(inputs, None)
        name = f"simulated-{plan.target}-{plan.precision}.npz"
        named_outputs.save(work / name, outputs)
        seeds = range(seed, seed + noisy) if integer else ()
        quiet = {key: value[: len(some)] for key, value in outputs.items()}
        floors = [named_outputs.worst("sqnr", quiet, once(some, number)) for number in seeds]
        if floors and plan.outputs:
            floors.append(_floor_of_rounding(outputs, plan.outputs))
        return SimulatedPlan(
            target=plan.target,
            precision=plan.precision,
            outputs=name,
            graph=file,
            compression=compare(reference, outputs),
            floor_db=min(floors, default=None),
            integer_macs=_integer_macs(graph, plan),
        )

    def recalled(plan: QuantPlan) -> SimulatedPlan:
        digest, file = plan_digest(plan), variants.file_of(plan.capabilities)
        facts = {
            "variant": variants.digests[file],
            "plan": digest,
            "images": array_digest(inputs),
            "reference": [[name, array_digest(value)] for name, value in reference.items()],
            "seed": seed,
            "float32": sorted(keep_float32[file]),
        }
        return replace(kept.simulated(facts, work, lambda: one(plan)), digest=digest, graph=file)

    done = list(zip(own, each(recalled, own), strict=True))
    return tuple(
        replace(
            next(made for duplicate, made in done if same_arithmetic(duplicate, plan)),
            target=plan.target,
            precision=plan.precision,
            digest=plan_digest(plan),
        )
        for plan in plans
    )


def _floor_of_rounding(outputs: Outputs, all_params: tuple[QuantParams, ...]) -> float:
    """SQNR in dB of outputs that are one step off in as many of their elements as a site may be, at least in one.

    Noise of 1e-7 hardly ever moves a value across the border between two steps; a runtime's own float32 does.
    """
    import numpy as np

    from edgevit.validate.verdict import SITE_OFF_FRACTION

    found = []
    for values, params in zip(outputs.values(), all_params, strict=True):
        signal = float(np.square(values, dtype=np.float64).sum())
        noise = params.scale[0] ** 2 * max(1.0, SITE_OFF_FRACTION * values.size)
        found.append(sqnr_db(max(signal, noise), noise))
    return min(found)


def _is_integer(plan: QuantPlan) -> bool:
    """Whether the precision quantizes activations, even if the plan leaves all sites in float."""
    return messages.quantize_activations(plan.capabilities.kinds)


def _integer_macs(graph: Graph, plan: QuantPlan) -> int:
    from edgevit.program.sites import list_sites

    dynamic = (
        plan.precision.activations == "dynamic"
    )  # the report counts run-time kernels of no other precision
    integer = {s.site for s in plan.sites if s.input is not None or (dynamic and s.dynamic is not None)}
    return sum(site.macs for site in list_sites(graph) if site.name in integer)


def compare(reference: Outputs, candidate: Outputs) -> Compression:
    """SQNR and cosine of the outputs that fare worst."""
    return Compression(*(named_outputs.worst(name, reference, candidate) for name in ("sqnr", "cosine")))


def same_arithmetic(first: QuantPlan, second: QuantPlan) -> bool:
    """Whether both compute the same on the same graph, whatever their targets are called."""
    import numpy as np

    return (
        first.compute == second.compute
        and _folds(first) == _folds(second)
        and first.sites == second.sites
        and first.outputs == second.outputs
        and first.graph_sha256 == second.graph_sha256
        and first.tensors.keys() == second.tensors.keys()
        and all(np.array_equal(v, second.tensors[k]) for k, v in first.tensors.items())
    )


def _folds(plan: QuantPlan) -> tuple[str, ...]:
    """Norms behind a fold may be computed in another way on the same weights."""
    return plan.capabilities.folds
