"""Drop operations that change nothing, and turn every view into a reshape.

1. alias, clone, contiguous, detach, dropout at inference, lift_fresh_copy: their readers read their input. The names
   of the model's outputs stay.
2. Assertions on types and values: removed; the exporter has checked them.
3. view and _unsafe_view become reshape, which tolerates any strides. A batched run of the batch-1 program
   (torch.func.vmap) may change strides, and view then fails.

Exact: no value, shape or type changes. coremltools knows no `alias`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.plugins import Rewrite

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def apply(program: ExportedProgram) -> int:
    """Remove alias, clone, detach, dropout and assertions; `view` becomes `reshape`.

    coremltools knows no `alias`; a batched run of the batch-1 program (torch.func.vmap) may change
    strides, which `reshape` tolerates and `view` does not.
    """
    import torch

    aten = torch.ops.aten
    views = {aten.view.default, aten._unsafe_view.default}
    copies = {
        aten.alias.default,
        aten.clone.default,
        aten.contiguous.default,
        aten.detach.default,
        aten.detach_.default,
        aten.dropout.default,
        aten.lift_fresh_copy.default,
    }
    assertions = {aten._assert_tensor_metadata.default, aten._assert_async.msg}
    changed = 0
    graph = program.graph_module.graph
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        if node.target in views:
            node.target = aten.reshape.default
        elif node.target in copies:
            node.replace_all_uses_with(node.args[0])
            _rename_outputs(program, node.name, node.args[0].name)
            graph.erase_node(node)
        elif node.target in assertions:
            graph.erase_node(node)
        else:
            continue
        changed += 1
    return changed


def _rename_outputs(program: ExportedProgram, old: str, new: str) -> None:
    for spec in program.graph_signature.output_specs:
        if spec.arg.name == old:
            spec.arg.name = new


REWRITE = Rewrite(
    summary="Remove aliases, copies and assertions (Core ML has no alias).",
    order=0,
    apply=apply,
    common=True,
)
