"""From a PyTorch model to a Graph: torch.export, the exact rewrites, the names of the sites."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from edgevit.core.errors import UnsupportedError
from edgevit.core.plugins import Rewrite
from edgevit.core.types import Graph, TorchModel
from edgevit.graph._refuse import explained, refuse_complex, refuse_constant, refuse_unknown_sizes
from edgevit.graph.reparameterize import NAME, Fused, reparameterize
from edgevit.program import constants, sites

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

INPUT = "image"


def export_model(model: TorchModel, rewrites: Mapping[str, Rewrite], without: Collection[str] = ()) -> Graph:
    """Export `model` with batch 1 and apply the shared ones of `rewrites` in their order, except `without`.

    Branches that the model can fuse itself are fused before, unless `without` names that.

    Returns:
        A Graph whose input is `image`, float32 (1, 3, height, width), with one site name per operation.

    Raises:
        UnsupportedError: torch.export cannot trace the model (dynamic control flow and the like), a
            shape depends on the image's values, or complex numbers are left; names module and line.
    """
    import torch

    preprocess = model.spec.preprocess
    image = torch.zeros(1, preprocess.channels, preprocess.height, preprocess.width)
    fused = Fused(model.module) if NAME in without else reparameterize(model.module, image)
    try:
        with torch.no_grad():
            program = torch.export.export(fused.module, (image,), strict=False).run_decompositions({})
    except Exception as error:  # torch.export raises many unrelated classes for one reason
        raise explained(error, model.spec.name, model.module) from error
    _rename_input(program)
    refuse_unknown_sizes(program, model.spec.name, input_node(program))
    refuse_constant(program, model.spec.name, input_node(program))
    _keep_outputs(program, tuple(spec.name for spec in model.spec.outputs))
    fired = [NAME] if fused.done else []
    for name in sorted(rewrites, key=lambda n: rewrites[n].order):
        if not rewrites[name].targets and name not in without and rewrites[name].apply(program):
            fired.append(name)
    constants.drop_unused(program)
    refuse_complex(program, model.spec.name)
    sites.name_sites(program)
    return Graph(program, tuple(fired), (fused.note,) if fused.note else ())


def input_node(program: ExportedProgram) -> torch.fx.Node:
    """The placeholder of the image."""
    (name,) = program.graph_signature.user_inputs
    return next(n for n in program.graph_module.graph.nodes if n.name == name)


def _rename_input(program: ExportedProgram) -> None:
    node = input_node(program)
    old = node.name
    node.name = node.target = INPUT
    for spec in program.graph_signature.input_specs:
        if spec.arg.name == old:
            spec.arg.name = INPUT
    program.graph_module.recompile()


def _keep_outputs(program: ExportedProgram, names: tuple[str, ...]) -> None:
    found = len(program.graph_signature.user_outputs)
    if found != len(names):
        raise UnsupportedError(
            f"the exported program has {found} outputs, the model {len(names)}",
            "return the same outputs on each call, as tensors",
        )
