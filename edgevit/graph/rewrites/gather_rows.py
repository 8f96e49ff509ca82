"""Write windows and shifts of tokens as one Gather of rows, which ONNX Runtime copies row by row.

Swin's shifted windows are a roll, a reshape to rank 6, a permutation and a reshape, up to nine operations that only
move values. Running them on the numbers 0 .. n - 1 gives where each value comes from. If all of them move whole rows of
at least 16 values (the channels of a token), the region is

    y = reshape(x, (rows, length))[index],   index int64, stored in the file

1. The source is (1, ..., rows, length) already: index_select along the last but one axis.
2. Otherwise a reshape to (rows, length) and an embedding lookup, which ONNX writes as Gather; a plain index would
   become GatherND between two transpositions.
3. Rows come out in the order in which they lie, or the new form has as many operations as the old: left alone.

Exact: no value is computed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgevit.core.plugins import Rewrite
from edgevit.graph import moves
from edgevit.program import constants, edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

# A shorter row costs more in bookkeeping than it saves in copying.
MIN_ROW = 16


def apply(program: ExportedProgram) -> int:
    """Replace a roll and a window partition, in up to nine operations, by an index over rows of channels.

    Only where it takes fewer operations than what stands there, and where whole rows stay together.
    """
    changed = 0
    for node in list(program.graph_module.graph.nodes):
        ends = node.op == "call_function" and moves.is_move(node) and edit.is_tensor(node)
        if not ends or not node.users or all(moves.is_move(user) for user in node.users):
            continue
        region = moves.region_of(node)
        if region is not None and _rewrite(program, node, region):
            changed += 1
        elif region is not None and (begin := moves.shared(region)):
            nearer = moves.region_of(node, begin)
            changed += nearer is not None and _rewrite(program, node, nearer)
    program.graph_module.graph.eliminate_dead_code()
    return changed


def _rewrite(program: ExportedProgram, node: torch.fx.Node, region: moves.Region) -> bool:
    found = None if constants.value(program, region.source) is not None else _rows(region)
    return found is not None and _write(program, node, region, *found)


def _rows(region: moves.Region) -> tuple[int, torch.Tensor] | None:
    """Longest row that stays whole, as a product of the source's last axes, and which rows are taken."""
    import torch

    shape = edit.shape(region.source)
    flat = region.indices.reshape(-1)
    for first in range(1, len(shape)):
        length = math.prod(shape[first:])
        if length < MIN_ROW or len(flat) % length:
            continue
        rows = flat.reshape(-1, length)
        start = rows[:, :1]
        if bool((start % length == 0).all()) and torch.equal(rows, start + torch.arange(length)):
            taken = start[:, 0] // length
            ordered = torch.equal(taken, torch.arange(int(taken[0]), int(taken[0]) + len(taken)))
            return None if ordered else (length, taken)
    return None


def _write(
    program: ExportedProgram, node: torch.fx.Node, region: moves.Region, length: int, rows: torch.Tensor
) -> bool:
    import torch

    aten = torch.ops.aten
    before, after = edit.shape(region.source), edit.shape(node)
    count = math.prod(before) // length
    lead = next((i for i in range(1, len(after)) if math.prod(after[i:]) == length), len(after))
    wanted = (*after[:lead], length)
    axis = len(before) - 2
    # Either along the last but one axis as it stands, or over the rows of a matrix.
    in_place = before == (*(1,) * axis, count, length)
    made = (*before[:-2], len(rows), length) if in_place else wanted
    needed = 1 + (not in_place and before != (count, length)) + (made != after)
    if needed >= moves.freed((node,), (region,)):
        return False
    stored = rows if in_place else rows.reshape(after[:lead] if lead < len(after) else (-1,))
    table = constants.add(program, f"{constants.name_for(node)}_rows", stored)
    read = region.source
    if in_place:
        read = edit.emit(node, aten.index_select.default, (read, axis, table), "rows")
    else:
        if before != (count, length):
            read = edit.emit(node, aten.reshape.default, (read, [count, length]))
        # What an embedding does; an index would become GatherND between two transpositions.
        read = edit.emit(node, aten.embedding.default, (read, table), "rows")
    if edit.shape(read) != after:
        read = edit.emit(node, aten.reshape.default, (read, list(after)))
    edit.replace(program, node, read)
    return True


REWRITE = Rewrite(
    summary="Write rolls and windows of tokens as one Gather of rows (ONNX).",
    order=110,
    apply=apply,
    targets=("onnx",),
)
