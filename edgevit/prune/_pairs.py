"""Find the MLPs of a transformer in the traced program, whatever its classes are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevit.core.errors import UnsupportedError

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

_COPIES = frozenset({"alias", "clone", "contiguous", "detach", "dropout", "to", "_to_copy"})
# fmt: off
_ELEMENTWISE = frozenset({
    "gelu", "silu", "relu", "relu6", "hardswish", "hardsigmoid", "hardtanh", "leaky_relu", "elu", "selu",
    "celu", "softplus", "mish", "tanh", "sigmoid", "log_sigmoid", "erf", "exp", "pow", "square", "abs",
    "neg", "sqrt", "clamp", "mul", "add", "sub", "div",
})
# fmt: on


@dataclass(frozen=True, slots=True)
class Pair:
    """Module paths of two Linear layers with nothing but an activation between them."""

    first: str
    second: str


def find_pairs(module: torch.nn.Module, image: torch.Tensor) -> tuple[Pair, ...]:
    """All Linear -> activation [-> dropout] -> Linear on tokens, in execution order.

    Everything between the two layers is elementwise and read by nobody else, so that hidden neuron j
    depends on row j of the first weight alone and reaches the model only through column j of the
    second. A layer that is called twice or shares its weight is no part of a pair, nor is a layer
    on one vector per image, (N, channels): a head or a gate.

    Args:
        image: float32 (1, 3, height, width), to trace with.

    Raises:
        UnsupportedError: torch.export cannot trace the model.
    """
    import torch

    try:
        with torch.no_grad():
            program = torch.export.export(module, (image,), strict=False)
    except Exception as error:  # torch.export raises many unrelated classes for one reason
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UnsupportedError(
            f"PyTorch cannot trace the model to find its MLPs: {first}",
            "the forward pass must not branch on tensor values; leave out --prune mlp=...",
        ) from error
    layers = _own_layers(program, module)
    found = []
    for node, path in layers.items():
        end = _next_layer(node)
        if end is not None and end in layers:
            found.append(Pair(path, layers[end]))
    return tuple(found)


def _own_layers(program: ExportedProgram, module: torch.nn.Module) -> dict[torch.fx.Node, str]:
    """Calls of Linear modules on tokens -> module path, for modules that are called once and share nothing."""
    import torch

    names = program.graph_signature.inputs_to_parameters
    holders: dict[int, int] = {}
    for _, parameter in module.named_parameters(remove_duplicate=False):
        holders[id(parameter)] = holders.get(id(parameter), 0) + 1
    found = {}
    for node in program.graph_module.graph.nodes:
        if node.target is not torch.ops.aten.linear.default or node.meta["val"].ndim < 3:
            continue
        constants = [a for a in node.args[1:] if a is not None]
        path = names.get(constants[0].name, "").removesuffix(".weight")
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        if not path or not stack or stack[-1][0] != path:
            continue  # the weight is computed, or used past its module, where a hook would not see it
        layer = module.get_submodule(path)
        alone = all(len(c.users) == 1 for c in constants) and all(
            holders[id(p)] == 1 for p in layer.parameters()
        )
        if isinstance(layer, torch.nn.Linear) and alone:
            found[node] = path
    return found


def _next_layer(start: torch.fx.Node) -> torch.fx.Node | None:
    """The one Linear call that reads an elementwise function of `start`, if nothing else does."""
    import torch

    region, ends, waiting, active = {start}, set(), [start], False
    while waiting:
        for user in waiting.pop().users:
            if user.target is torch.ops.aten.linear.default:
                if user.args[0] not in region or any(a in region for a in user.args[1:]):
                    return None
                ends.add(user)
            elif user not in region:
                kind = _kind(user)
                if kind not in _COPIES and kind not in _ELEMENTWISE:
                    return None
                active = active or kind in _ELEMENTWISE
                region.add(user)
                waiting.append(user)
    closed = all(source in region for node in region - {start} for source in node.all_input_nodes)
    return ends.pop() if len(ends) == 1 and active and closed else None


def _kind(node: torch.fx.Node) -> str:
    """Name of the operator without overload and in-place mark, for example `relu` for aten.relu_.default."""
    return str(getattr(node.target, "_opname", "")).rstrip("_") if node.op == "call_function" else ""
