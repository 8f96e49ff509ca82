"""Write convolutions over rows as convolutions over images of height 1.

litert-torch converts some of the former to a product of the wrong rank (EfficientViM's 1x1 convolutions over tokens),
and no target quantizes them; the latter are like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgevit.core.plugins import Rewrite
from edgevit.program import constants, edit

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """(N, C, L) becomes (N, C, 1, L), a kernel of k one of 1 x k; the weight must be a constant."""
    import torch

    aten = torch.ops.aten
    names = ("x", "weight", "bias", "stride", "padding")
    kinds = {
        aten.conv1d.default: (aten.conv2d.default, (*names, "dilation", "groups"), {}),
        aten.conv_transpose1d.default: (
            aten.conv_transpose2d.input,
            (*names, "output_padding", "groups", "dilation"),
            {"output_padding": 0},
        ),
    }
    changed = 0
    for node in list(program.graph_module.graph.nodes):
        if node.target not in kinds:
            continue
        target, order, more = kinds[node.target]
        given = {
            "bias": None,
            "stride": 1,
            "padding": 0,
            "dilation": 1,
            "groups": 1,
            **more,
            **edit.bound(node, order),
        }
        weight, shape = constants.value(program, given["weight"]), edit.shape(given["x"])
        if weight is None or len(shape) != 3 or isinstance(given["padding"], str):
            continue
        name = constants.targets(program)[given["weight"].name]
        given["weight"] = constants.add(program, f"{name}_rows", weight.unsqueeze(2))
        given["x"] = edit.emit(node, aten.reshape.default, (given["x"], [*shape[:2], 1, shape[2]]))
        for key, alone in (("stride", 1), ("padding", 0), ("dilation", 1), ("output_padding", 0)):
            if key in given:
                given[key] = [alone, _one(given[key])]
        made = edit.emit(node, target, tuple(given[key] for key in order))
        edit.replace(program, node, edit.emit(node, aten.reshape.default, (made, list(edit.shape(node)))))
        changed += 1
    return changed


def _one(value: Any) -> int:
    """A number that may stand in a list of its own."""
    return int(value[0] if isinstance(value, list | tuple) else value)


REWRITE = Rewrite(
    summary="Convolutions over rows as convolutions over images of height 1.",
    order=33,
    apply=apply,
)
