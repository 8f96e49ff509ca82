"""Write chains of reshapes and permutations with the fewest steps, none above rank 4.

A chain of such moves maps axes to axes: each axis of the result is a product of factors of the source's axes in some
order. Any chain whose axes nest is therefore

    reshape to the factors -> permute -> reshape to the result

with neighbouring factors that stay together joined first. Windows (N, H/w, w, W/w, w, C) come from rank 6 to
rank 5 that way, and are then written as several permutations of rank 4 at most.

1. Nothing is permuted: one reshape, or nothing.
2. A result within the chain is read by others too: the chain is cut there if going on from it moves less data.
3. Axes do not nest (MaxViT goes from windows of 7 in 8 rows to a grid of 8 in 7 rows): part by part.
4. The new form has as many steps as the old: left alone.

TFLite's and Core ML's kernels for rank 5 and 6 are slow or missing, and each step that moves data costs everywhere.
Exact: no value is computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Rewrite
from edgevit.graph import _chains
from edgevit.program import edit
from edgevit.program.layout import MAX_RANK, Step, permutations_in, steps

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """Replace each chain by reshape, permute, reshape, or less; more permutations only above four axes.

    A chain is cut at a result that others read too, if going on from there moves less data.
    """
    graph = program.graph_module.graph
    changed = 0
    for node in list(graph.nodes):
        if _chains.is_link(node) and not (node.users and all(_chains.is_link(u) for u in node.users)):
            changed += _shorten(program, node)
    graph.eliminate_dead_code()
    return changed


def _shorten(program: ExportedProgram, node: torch.fx.Node) -> int:
    """Write the chain that ends in `node`: all of it, or part by part where its axes do not nest.

    MaxViT goes from windows of 7 in 8 rows to a grid of 8 in 7 rows, which share no axis.
    """
    chain = _chains.links(node)
    best = _best(chain)
    if best is None:
        return 0
    source, found, old = best
    before = _shorten(program, source) if _chains.is_link(source) and len(source.users) == 1 else 0
    if found == old and all(_chains.is_plain(link) for link in chain[: len(old)]):
        return before
    source = chain[len(old) - 1].args[0]  # it may have been written anew
    edit.replace(program, node, _chains.apply_steps(source, found, node, like=node))
    return before + 1


def _best(
    chain: tuple[torch.fx.Node, ...],
) -> tuple[torch.fx.Node, tuple[Step, ...], tuple[Step, ...]] | None:
    """Where to start from, the steps from there, and those that stand there now."""
    best = None
    longest = None
    shape = edit.shape(chain[0])
    for length in range(1, len(chain) + 1):
        part = chain[:length]
        source = part[-1].args[0]
        assert hasattr(source, "op")
        found = _steps(source, part, shape)
        if found is None:
            # From here on up the axes do not nest: go as far as they do.
            return best or longest
        longest = (source, found, _chains.as_steps(part))
        if _chains.is_link(source) and (len(source.users) == 1 or len(edit.shape(source)) > MAX_RANK):
            continue
        if best is None or permutations_in(found) <= permutations_in(best[1]):
            best = longest
    return best


def _steps(
    source: torch.fx.Node, part: tuple[torch.fx.Node, ...], shape: tuple[int, ...]
) -> tuple[Step, ...] | None:
    if not any(_chains.permutes(link) for link in part):
        return () if edit.shape(source) == shape else (("reshape", shape),)
    layout = _chains.layout_between(source, part)
    return None if layout is None else steps(edit.shape(source), layout, shape)


REWRITE = Rewrite(
    summary="Chains of reshapes and permutations in the fewest steps of rank 4 (TFLite, Core ML).",
    order=50,
    apply=apply,
)
