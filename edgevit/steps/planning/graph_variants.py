"""The variants of a graph that plans belong to: exact changes of its weights, made before anything is decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.plugins import Fold
from edgevit.core.progress import Emit
from edgevit.core.types import Graph, Stats
from edgevit.steps import messages
from edgevit.steps.kept import NOTHING, Kept, array_digest
from edgevit.steps.planning.algorithms import find
from edgevit.steps.planning.calibrate import observe

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class GraphVariants:
    """All graphs that plans are made for.

    Attributes:
        graphs: file in the work folder -> the graph in it.
        files: folds that changed something -> file.
        backends: those that were asked for, with the folds that changed something.
        folded: the sites that a fold changed in any of the graphs.
        digests: file -> digest of what the graph in it computes; "" without a cache.
    """

    graphs: Mapping[str, Graph]
    files: Mapping[tuple[str, ...], str]
    backends: tuple[BackendCapabilities, ...]
    folded: tuple[str, ...]
    digests: Mapping[str, str]

    def file_of(self, capabilities: BackendCapabilities) -> str:
        """File of the graph that a plan for `capabilities` belongs to."""
        return self.files[capabilities.folds]

    def graph_of(self, capabilities: BackendCapabilities) -> Graph:
        """The graph that a plan for `capabilities` belongs to."""
        return self.graphs[self.file_of(capabilities)]


def fold(
    graph: Graph,
    calibration: torch.Tensor | None,
    backends: tuple[BackendCapabilities, ...],
    work: Path,
    emit: Emit,
    kept: Kept = NOTHING,
) -> GraphVariants:
    """Make each form that the backends ask for and save it in `work`.

    Folds that want to know the activations are left out without calibration images. What they want to know is
    measured once, on the graph without folds: none of the others changes what a layer norm gives out.
    """
    from edgevit.program import graph_file
    from edgevit.program.digest import graph_digest

    folds = {name: find(name, Fold) for name in dict.fromkeys(n for p in backends for n in p.folds)}
    observers = tuple(dict.fromkeys(o for fold in folds.values() for o in fold.observers))
    stats = Stats({}, 0)
    if observers and calibration is not None:
        facts = {"images": array_digest(calibration), "observers": list(observers)}
        measure = partial(observe, graph, calibration, observers, emit, stage="measuring for the folds")
        stats = kept.stats(facts, measure, "statistics of folds")
    graphs = {messages.GRAPH: graph}
    files: dict[tuple[str, ...], str] = {(): messages.GRAPH}
    done: dict[tuple[str, ...], tuple[str, ...]] = {(): ()}
    folded: list[str] = []
    for asked in dict.fromkeys(p.folds for p in backends if p.folds):
        changed = graph_file.load(work / messages.GRAPH)
        fired = []
        for name in asked:
            if folds[name].observers and calibration is None:
                continue
            sites = folds[name].apply(changed, stats)
            folded += sites
            fired += [name] if sites else []
        done[asked] = tuple(fired)
        if done[asked] not in files:
            file = f"{'-'.join(fired)}.pt2"
            graph_file.save(changed, work / file)
            graphs[file], files[done[asked]] = changed, file
    backends = tuple(replace(p, folds=done[p.folds]) for p in backends)
    on = bool(kept.memory.remembered.folder)
    digests = {file: graph_digest(found) if on else "" for file, found in graphs.items()}
    return GraphVariants(graphs, files, backends, tuple(dict.fromkeys(folded)), digests)
