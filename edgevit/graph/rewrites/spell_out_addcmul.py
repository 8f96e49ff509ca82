"""Write addcmul and addcdiv as the product, or quotient, and the sum that they name.

https://docs.pytorch.org/docs/stable/generated/torch.addcmul.html: input + value * tensor1 * tensor2, of any shapes that
broadcast; addcdiv divides. coremltools has neither. The operations and their order are PyTorch's, so the result is the
same but for a sum that its kernel may fuse. A value of 1 takes no multiplication.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Rewrite
from edgevit.program import edit

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """(input, tensor1, tensor2, value) becomes mul or div, mul by `value`, add."""
    import torch

    aten = torch.ops.aten
    kinds = {aten.addcmul.default: aten.mul.Tensor, aten.addcdiv.default: aten.div.Tensor}
    changed = 0
    for node in list(program.graph_module.graph.nodes):
        if node.target not in kinds:
            continue
        start, first, second = node.args[:3]
        value = node.kwargs.get("value", 1)
        if value != 1:
            first = edit.emit(node, aten.mul.Tensor, (first, value))
        part = edit.emit(node, kinds[node.target], (first, second))
        edit.replace(program, node, edit.emit(node, aten.add.Tensor, (start, part)))
        changed += 1
    return changed


REWRITE = Rewrite(
    summary="Write addcmul and addcdiv as a product or quotient and a sum.",
    order=2,
    apply=apply,
)
