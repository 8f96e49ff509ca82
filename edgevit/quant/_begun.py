"""A plan that is being made: its run beside the float model's, and what it has become in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.plans import QuantPlan
from edgevit.core.types import Graph
from edgevit.program.paired_run import Beside
from edgevit.quant.weights import weights_digest

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from edgevit.program.paired_run import Settle

    # operation, its result in the float model and in the planned one, and the plan up to it;
    # returns tensors that change and the planned result with them, None to leave both
    Tune = Callable[
        [torch.fx.Node, object, object, QuantPlan], tuple[dict[str, NDArray[np.generic]], torch.Tensor] | None
    ]


@dataclass(frozen=True, slots=True)
class Begun:
    """What the walk through the model turns into a plan.

    Attributes:
        run: decides each operation as the walk reaches it.
        finish: the plan, once the walk is over.
    """

    run: Beside
    finish: Callable[[], QuantPlan]


def empty_plan(graph: Graph, capabilities: BackendCapabilities) -> QuantPlan:
    """The plan in which nothing is decided yet."""
    return QuantPlan(
        target=capabilities.target,
        precision=capabilities.precision,
        compute=capabilities.compute,
        graph_sha256=weights_digest(graph),
        sites=(),
        tensors={},
        capabilities=capabilities,
    )


def settled_by(
    tune: Tune | None, so_far: Callable[[], QuantPlan], tensors: dict[str, NDArray[np.generic]]
) -> Settle | None:
    """What `tune` changes, kept in `tensors`; None where nothing tunes."""
    if tune is None:
        return None

    def settle(node: torch.fx.Node, real: object, planned: object) -> torch.Tensor | None:
        found = tune(node, real, planned, so_far())
        if found is None:
            return None
        tensors.update(found[0])
        return found[1]

    return settle
