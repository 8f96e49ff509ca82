"""Read, replace and add the weights of an exported program, and drop those that nothing uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram


def targets(program: ExportedProgram) -> dict[str, str]:
    """Placeholder name -> fully qualified name of the weight, buffer or constant behind it."""
    return {s.arg.name: s.target for s in program.graph_signature.input_specs if s.target is not None}


def value(program: ExportedProgram, node: object) -> torch.Tensor | None:
    """The constant tensor behind `node`, or None if it is not a constant placeholder."""
    import torch

    if not isinstance(node, torch.fx.Node) or node.op != "placeholder":
        return None
    name = targets(program).get(node.name)
    if name is None:
        return None
    found = program.state_dict.get(name, program.constants.get(name))
    if not isinstance(found, torch.Tensor):
        raise TypeError(f"{name} is a {type(found).__name__}, not a tensor")
    return found.detach()


def set_value(program: ExportedProgram, node: torch.fx.Node, tensor: torch.Tensor) -> None:
    """Replace the constant behind `node` by a tensor of the same shape and dtype."""
    import torch

    name = targets(program)[node.name]
    frozen = torch.nn.Parameter(tensor.contiguous(), requires_grad=False)
    (program.state_dict if name in program.state_dict else program.constants)[name] = frozen


def add(program: ExportedProgram, name: str, tensor: torch.Tensor) -> torch.fx.Node:
    """Add a weight called `name` in front of all other inputs; returns its placeholder."""
    import torch
    from torch.export.graph_signature import InputKind, InputSpec, TensorArgument

    unique = name
    while unique in program.state_dict or unique in program.constants:
        unique += "_"
    graph = program.graph_module.graph
    first = next(iter(graph.nodes))
    fake_mode = next(n.meta["val"].fake_mode for n in graph.nodes if hasattr(n.meta.get("val"), "fake_mode"))
    with graph.inserting_before(first):
        node = graph.placeholder("p_" + unique.replace(".", "_"))
    # A copy: a view (an expanded or shared constant) would drag its whole storage into the file.
    parameter = torch.nn.Parameter(tensor.detach().clone().contiguous(), requires_grad=False)
    node.meta["val"] = fake_mode.from_tensor(parameter, static_shapes=True)
    spec = InputSpec(InputKind.PARAMETER, TensorArgument(node.name), unique, None)
    program.graph_signature.input_specs.insert(0, spec)
    program.state_dict[unique] = parameter
    return node


def name_for(node: torch.fx.Node) -> str:
    """A name for the constant that `node` shall become: its module's path and its own name."""
    stack = node.meta.get("nn_module_stack") or {}
    path = str(list(stack.values())[-1][0]) if stack else ""
    return f"{path}.{node.name}" if path else str(node.name)


def drop_unused(program: ExportedProgram) -> None:
    """Remove dead nodes and every weight that nothing reads any more."""
    graph = program.graph_module.graph
    graph.eliminate_dead_code()
    names = targets(program)
    unused = {n.name for n in graph.nodes if n.op == "placeholder" and not n.users and n.name in names}
    for node in [n for n in graph.nodes if n.name in unused]:
        graph.erase_node(node)
    specs = program.graph_signature.input_specs
    specs[:] = [s for s in specs if s.arg.name not in unused]
    kept = {s.target for s in specs}
    for name in [n for n in program.state_dict if n not in kept]:
        del program.state_dict[name]
    for name in [n for n in program.constants if n not in kept]:
        del program.constants[name]
    graph.lint()
    program.graph_module.recompile()
