"""Write adaptive max pooling as plain max pooling; ONNX and TFLite have no other.

Window i of m over an axis of n reads rows floor(i n / m) to ceil((i + 1) n / m), as PyTorch defines it
(https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveMaxPool2d.html). Per axis:

1. m divides n: windows of n / m rows side by side, which is pooling with kernel and stride n / m.
2. Otherwise windows have different lengths and overlap. The rows of each window are gathered one window after the
   other, (m * longest) rows, the last row repeated in the shorter ones: repeating an element changes no maximum.
   Pooling with kernel and stride `longest` follows.

Inputs are (N, C, W), (C, H, W) or (N, C, H, W), brought to four axes and back. Left alone: pooling whose second
result, the positions of the maxima, is read too.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

from edgevit.core.plugins import Rewrite
from edgevit.program import constants, edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """Window i of m over an axis of n reads rows floor(i n / m) to ceil((i + 1) n / m).

    Where m divides n these are windows of one length side by side. Elsewhere the rows of each window are gathered,
    its last row again until all windows are as long as the longest, which changes no maximum.

    Left alone: pooling whose positions of the maxima are read too.
    """
    import torch

    aten = torch.ops.aten
    changed = 0
    for node in list(program.graph_module.graph.nodes):
        if node.target not in (aten.adaptive_max_pool1d.default, aten.adaptive_max_pool2d.default):
            continue
        readers = list(node.users)
        if any(r.target is not operator.getitem or (r.args[1] != 0 and r.users) for r in readers):
            continue
        for reader in readers:
            if reader.args[1] == 0:
                edit.replace(program, reader, _pooled(program, node))
                changed += 1
    program.graph_module.graph.eliminate_dead_code()
    return changed


def _pooled(program: ExportedProgram, node: torch.fx.Node) -> torch.fx.Node:
    import torch

    aten = torch.ops.aten
    source = node.args[0]
    assert isinstance(source, torch.fx.Node)
    shape = edit.shape(source)
    axes = 1 if node.target is aten.adaptive_max_pool1d.default else 2
    before, after = shape[-axes:], tuple(int(n) for n in node.meta["val"][0].shape[-axes:])
    made = source
    if len(shape) < 4 or axes == 1:  # as an image: (C, N), (N, C, W) or (C, H, W)
        lead = shape[:-axes]
        image = [1] * (2 - len(lead)) + [*lead] + [1] * (2 - axes) + [*before]
        made = edit.emit(node, aten.reshape.default, (made, image))
    lengths = [1] * (2 - axes)
    for axis, (n, m) in enumerate(zip(before, after, strict=True), 4 - axes):
        length, rows = _windows(n, m)
        if len(rows) != n or n % m:
            held = constants.add(program, f"{constants.name_for(node)}.rows", rows)
            made = edit.emit(node, aten.index_select.default, (made, axis, held))
        lengths.append(length)
    made = edit.emit(node, aten.max_pool2d.default, (made, lengths, lengths))
    wanted = [*shape[:-axes], *after]
    return made if [*edit.shape(made)] == wanted else edit.emit(node, aten.reshape.default, (made, wanted))


def _windows(size: int, count: int) -> tuple[int, torch.Tensor]:
    """Length of the longest window, and the rows of all windows one after the other, int64 (count * length,)."""
    import torch

    starts = [i * size // count for i in range(count)]
    ends = [-(-(i + 1) * size // count) for i in range(count)]
    length = max(end - start for start, end in zip(starts, ends, strict=True))
    rows = [min(s + k, e - 1) for s, e in zip(starts, ends, strict=True) for k in range(length)]
    return length, torch.tensor(rows)


REWRITE = Rewrite(
    summary="Adaptive max pooling as max pooling over windows of one length (ONNX and TFLite have no other).",
    order=34,
    apply=apply,
)
