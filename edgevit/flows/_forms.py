"""The forms of a graph that plans belong to: exact changes of its weights, made before anything is decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core.plans import Placement
from edgevit.core.plugins import Fold
from edgevit.core.types import Graph, Stats
from edgevit.flows import _values
from edgevit.flows._algorithms import CENTRE, SCALE, find
from edgevit.flows._observe import Emit, observe

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Forms:
    """All graphs that plans are made for.

    Attributes:
        graphs: file in the work folder -> the graph in it.
        files: (whether it quantizes activations, whether norms subtract no mean) -> file.
        placements: those that were asked for, `mean_free` only where centring changed the graph.
        folded: the sites that a fold changed in any of the graphs.
    """

    graphs: Mapping[str, Graph]
    files: Mapping[tuple[bool, bool], str]
    placements: tuple[Placement, ...]
    folded: tuple[str, ...]

    def file_of(self, placement: Placement) -> str:
        """File of the graph that a plan for `placement` belongs to."""
        return self.files[_key(placement)]

    def graph_of(self, placement: Placement) -> Graph:
        """The graph that a plan for `placement` belongs to."""
        return self.graphs[self.file_of(placement)]


def fold(
    graph: Graph, calibration: torch.Tensor | None, placements: tuple[Placement, ...], work: Path, emit: Emit
) -> Forms:
    """Make each form that the placements ask for and save it in `work`; a fold that changes nothing makes none."""
    from edgevit.graph import storage

    centre, scale = find(CENTRE, Fold), find(SCALE, Fold)
    folded: list[str] = []
    if any(p.mean_free for p in placements):
        centred = storage.load(work / _values.GRAPH)
        folded += centre.apply(centred, Stats({}, 0))
        if folded:
            storage.save(centred, work / _values.CENTRED)
    placements = tuple(replace(p, mean_free=p.mean_free and bool(folded)) for p in placements)
    keys = sorted({_key(p) for p in placements})
    # Measured once: centring changes nothing that a norm gives out.
    stats = None
    if calibration is not None and any(integer for integer, _ in keys):
        stats = observe(graph, calibration, scale.observers, emit)
    graphs: dict[str, Graph] = {}
    files: dict[tuple[bool, bool], str] = {}
    for integer, mean_free in keys:
        file = _values.CENTRED if mean_free else _values.GRAPH
        if integer and stats is not None:
            copy = storage.load(work / file)
            scaled = scale.apply(copy, stats)
            if scaled:
                folded += scaled
                file = f"scaled-{file}"
                storage.save(copy, work / file)
                graphs[file] = copy
        if file not in graphs:
            graphs[file] = graph if file == _values.GRAPH else storage.load(work / file)
        files[integer, mean_free] = file
    return Forms(graphs, files, placements, tuple(dict.fromkeys(folded)))


def _key(placement: Placement) -> tuple[bool, bool]:
    return _values.quantize_activations(placement.kinds), placement.mean_free
