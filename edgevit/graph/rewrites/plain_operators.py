"""Call each operation by one name: PyTorch has several for some, and converters know one of them.

`torch.subtract` is documented as an alias of `torch.sub`, `torch.clip` of `torch.clamp`, and so on
(https://docs.pytorch.org/docs/stable/torch.html): the same arguments in the same order, the same result. Only the name
of the operation is replaced, in place; arguments, shapes and types stay. Names that mean something else for some
arguments are not in the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgevit.core.plugins import Rewrite

if TYPE_CHECKING:
    from torch.export import ExportedProgram

# Documented as aliases in https://docs.pytorch.org/docs/stable/torch.html: the same arguments, the same result.
_NAMES: Final = {
    "subtract.Tensor": "sub.Tensor",
    "subtract.Scalar": "sub.Scalar",
    "multiply.Tensor": "mul.Tensor",
    "multiply.Scalar": "mul.Scalar",
    "divide.Tensor": "div.Tensor",
    "divide.Scalar": "div.Scalar",
    "divide.Tensor_mode": "div.Tensor_mode",
    "true_divide.Tensor": "div.Tensor",
    "true_divide.Scalar": "div.Scalar",
    "absolute.default": "abs.default",
    "negative.default": "neg.default",
    "clip.default": "clamp.default",
    "concat.default": "cat.default",
    "concatenate.default": "cat.default",
    "swapaxes.default": "transpose.int",
    "swapdims.default": "transpose.int",
    "moveaxis.intlist": "movedim.intlist",
    "moveaxis.int": "movedim.int",
}


def apply(program: ExportedProgram) -> int:
    """Put the first name in place of its aliases (`torch.subtract` is `torch.sub`)."""
    import torch

    changed = 0
    for node in program.graph_module.graph.nodes:
        target: object = node.target
        if node.op != "call_function" or getattr(target, "namespace", "") != "aten":
            continue
        plain = _NAMES.get(str(target).removeprefix("aten."))
        if plain is not None:
            packet, _, overload = plain.partition(".")
            node.target = getattr(getattr(torch.ops.aten, packet), overload)
            changed += 1
    return changed


REWRITE = Rewrite(
    summary="Call operations by the name that converters know (subtract is sub).", order=2, apply=apply
)
