"""Which layers are wrong, and which of them was the first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevit.core.results.layers import FirstWrong, LayerComparison, NotFound
from edgevit.core.types import Graph
from edgevit.program.diagnostics import frames, innermost
from edgevit.program.sites import WEIGHTED, kind_of, module_of, site_of
from edgevit.steps.diff.substitute import Substituted

if TYPE_CHECKING:
    import torch

_CANCELLED = "the file computes it in another form, and rightly"


@dataclass(frozen=True, slots=True)
class Judged:
    """Layers in execution order, those that could not be compared, and the first wrong one."""

    layers: tuple[LayerComparison, ...]
    not_found: tuple[NotFound, ...]
    first_wrong: FirstWrong | None


def judge(
    graph: Graph,
    found: Mapping[str, Substituted],
    threshold: float,
    cancelled_db: float | None,
    lost: Mapping[str, str],
    by_name: bool,
) -> Judged:
    """From what each site gave to a verdict.

    Args:
        threshold: own error in dB from which on a layer is right.
        cancelled_db: SQNR against the undisturbed reference from which on a layer proves everything
            before it right, since no fault vanishes; None where nothing is as exact.
        lost: sites that have another size in the file, with the reason.
        by_name: the file carries site names.
    """
    cancelled = frozenset() if cancelled_db is None else _cancelled(graph, found, threshold, cancelled_db)
    layers, missing = [], []
    for site, entry in found.items():
        if entry.match is None or site in cancelled:
            what = "name" if by_name else "values"
            reason = (
                _CANCELLED
                if site in cancelled or entry.other_form
                else f"no tensor of the file has its {what}"
            )
            missing.append(NotFound(site, lost.get(site, reason)))
            continue
        layers.append(
            LayerComparison(
                site=site,
                module=module_of(site),
                kind=kind_of(site),
                tensor=entry.match.tap,
                sqnr_db=entry.own.db,
                cosine=entry.own.cosine,
                max_abs=entry.own.max_abs,
                input_sqnr_db=entry.entering.db,
                total_sqnr_db=entry.total.db,
                wrong=entry.own.db < threshold,
            )
        )
    first = _first_wrong(graph, found, threshold, cancelled, lost, by_name)
    return Judged(tuple(layers), tuple(missing), first)


def _cancelled(
    graph: Graph, found: Mapping[str, Substituted], threshold: float, cancelled_db: float
) -> frozenset[str]:
    """Wrong sites whose every reader has, at once or later, the values of the undisturbed reference.

    The file was then made from a graph that was rewritten otherwise: a factor in the next weights.
    """
    whole: dict[torch.fx.Node, bool] = {}
    cancelled = set()
    for node in reversed(graph.program.graph_module.graph.nodes):
        if node.op != "call_function":
            continue
        entry = found.get(site_of(node))
        compared = entry if entry is not None and entry.match is not None else None
        equal = compared is not None and compared.total.db >= cancelled_db
        whole[node] = equal or (bool(node.users) and all(whole.get(user, False) for user in node.users))
        if whole[node] and compared is not None and compared.own.db < threshold:
            cancelled.add(site_of(node))
    return frozenset(cancelled)


def _first_wrong(
    graph: Graph,
    found: Mapping[str, Substituted],
    threshold: float,
    cancelled: frozenset[str],
    lost: Mapping[str, str],
    by_name: bool,
) -> FirstWrong | None:
    """In execution order, the first site whose own error is too large, or what lies unseen before it.

    In a file without names a faulty layer has values that nobody knows, so it is not found, and nor
    is what follows: the first of those is named, unless a right value proves it right.
    """
    unseen: dict[torch.fx.Node, frozenset[str]] = {}
    right: set[str] = set()
    wrong: list[tuple[str, frozenset[str]]] = []
    lines: dict[str, str] = {}
    for node in graph.program.graph_module.graph.nodes:
        before: frozenset[str] = frozenset().union(*(unseen.get(n, ()) for n in node.all_input_nodes))
        site = site_of(node) if node.op == "call_function" else ""
        entry = found.get(site)
        if entry is None:
            unseen[node] = before
            continue
        frame = innermost(frames(str(node.meta.get("stack_trace") or "")))
        lines[site] = str(frame) if frame is not None else ""
        if site in cancelled or entry.other_form:
            right |= before
        elif entry.match is None:
            unseen[node] = before | {site}
            if site in lost and kind_of(site) in WEIGHTED:
                wrong.append((site, before))
        elif entry.own.db < threshold:
            wrong.append((site, before))
        else:
            right |= before
    order = {site: index for index, site in enumerate(found)}
    places: list[tuple[str, tuple[str, ...]]] = []
    for site, before in wrong:
        hidden = tuple(sorted(before - right, key=order.__getitem__))
        places.append((site if by_name or not hidden else hidden[0], hidden))
    if not places:
        return None
    site, between = min(places, key=lambda place: order[place[0]])
    entry = found[site]
    seen = entry.match is not None
    return FirstWrong(
        site=site,
        module=module_of(site),
        kind=kind_of(site),
        sqnr_db=entry.own.db if seen else None,
        input_sqnr_db=entry.entering.db if seen else None,
        line=lines[site],
        between=tuple(s for s in between if s != site) if seen else (),
    )
