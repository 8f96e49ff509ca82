"""The rewrites that serve one target, on the Graph that it is about to convert."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from edgevit.core.plugins import Rewrite
from edgevit.core.types import Graph
from edgevit.program import constants, sites


def adapt(
    graph: Graph, rewrites: Mapping[str, Rewrite], target: str, planned: bool, without: Collection[str] = ()
) -> Graph:
    """Apply the rewrites of `target` in their order; the given Graph is edited and used up.

    Every site that has a weight keeps its name, and with `planned` its weight too; operations that
    a rewrite adds get names of their own.

    Args:
        planned: the file carries a QuantPlan, so that rewrites that change weights are left out.
    """
    fired = []
    for name in sorted(rewrites, key=lambda n: rewrites[n].order):
        rewrite = rewrites[name]
        if target not in rewrite.targets or name in without or (planned and rewrite.float_only):
            continue
        if rewrite.apply(graph.program):
            fired.append(name)
    if not fired:
        return graph
    constants.drop_unused(graph.program)
    sites.name_sites(graph.program)
    return replace(graph, rewrites=(*graph.rewrites, *fired))
