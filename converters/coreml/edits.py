"""Small edits of an exported program: copy it, read and add constants, add operations."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from edgevit.program.sites import kind_of, named

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

_WEIGHTED = ("linear", "conv")
PRODUCTS = ("qk", "av")


def role_of(node: object) -> str:
    """The role in an operation's site name: `blocks.3.attn:qk` has `qk`; "" where it has no name."""
    import torch

    return kind_of(named(node)) if isinstance(node, torch.fx.Node) else ""


def weighted_sites(program: ExportedProgram) -> dict[str, torch.fx.Node]:
    """Site name -> node of every linear and conv in execution order."""
    nodes = [n for n in program.graph_module.graph.nodes if n.op == "call_function"]
    return {named(n): n for n in nodes if role_of(n) in _WEIGHTED}


def product_sites(program: ExportedProgram) -> dict[str, torch.fx.Node]:
    """Site name -> node of the two products of each attention in execution order."""
    import torch

    aten = torch.ops.aten
    nodes = [
        n for n in program.graph_module.graph.nodes if n.target in (aten.matmul.default, aten.bmm.default)
    ]
    return {named(n): n for n in nodes if role_of(n) in PRODUCTS}


def constant(program: ExportedProgram, node: object) -> torch.Tensor | None:
    """The weight, buffer or constant behind a placeholder, None for anything else."""
    name = getattr(node, "name", None)
    for spec in program.graph_signature.input_specs:
        if spec.arg.name == name and spec.target is not None:
            found = program.state_dict.get(spec.target, program.constants.get(spec.target))
            return found.detach() if found is not None else None
    return None


def copied(program: ExportedProgram) -> ExportedProgram:
    """The program with a graph of its own, which edits may change; the weights are shared."""
    from torch.export import ExportedProgram

    module = copy.deepcopy(program.graph_module)
    for node in module.graph.nodes:
        node.meta.pop("debug_handle", None)
    return ExportedProgram(
        root=module,
        graph=module.graph,
        graph_signature=copy.deepcopy(program.graph_signature),
        state_dict=dict(program.state_dict),
        range_constraints=dict(program.range_constraints),
        module_call_graph=copy.deepcopy(program.module_call_graph),
        constants=dict(program.constants),
    )


def rebuilt(program: ExportedProgram) -> ExportedProgram:
    """The same after the edits, so that the graph and its signature are checked against each other."""
    from torch.export import ExportedProgram

    return ExportedProgram(
        root=program.graph_module,
        graph=program.graph_module.graph,
        graph_signature=program.graph_signature,
        state_dict=program.state_dict,
        range_constraints=program.range_constraints,
        module_call_graph=program.module_call_graph,
        constants=program.constants,
    )


def call(
    before: torch.fx.Node, target: object, args: tuple[object, ...], name: str, value: torch.Tensor
) -> torch.fx.Node:
    """Insert an operation in front of a node; `value` is an example of what it gives."""
    graph = before.graph
    with graph.inserting_before(before):
        node = graph.create_node("call_function", target, args, {}, name=name)
    node.meta["val"] = value
    return node


def add_constant(program: ExportedProgram, name: str, tensor: torch.Tensor) -> torch.fx.Node:
    """Store a tensor in the program; its node."""
    from torch.export.graph_signature import InputKind, InputSpec, TensorArgument

    graph = program.graph_module.graph
    nodes = list(graph.nodes)
    fake_mode = next(n.meta["val"].fake_mode for n in nodes if hasattr(n.meta.get("val"), "fake_mode"))
    with graph.inserting_before(nodes[0]):
        node: torch.fx.Node = graph.placeholder(name)
    node.meta["val"] = fake_mode.from_tensor(tensor, static_shapes=True)
    made = InputSpec(InputKind.CONSTANT_TENSOR, TensorArgument(node.name), name, None)
    program.graph_signature.input_specs.insert(0, made)
    program.constants[name] = tensor
    return node
