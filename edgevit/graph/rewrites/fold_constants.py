"""Compute once what depends on weights alone: a file then holds the table instead of what makes it.

A value that no input of the model reaches is the same for every image. It is computed in PyTorch, by the operations of
the model itself and in their order, and stored as a constant of the same shape and type. What this finds:

1. Relative position biases, (heads, tokens, tokens): a gather from a small table, in Swin v2 a whole network.
2. Position embeddings resampled to another image size, (1, tokens, C).
3. Attention masks, and standardised convolution weights (weight standardisation, Qiao et al. 2019).

Exact. Two things stay computed: random numbers, and results that take more than MAX_GROWTH_BYTES and more than what
they are computed from, since they would make the file larger than the model.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from edgevit.core.plugins import Rewrite
from edgevit.program import constants, edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

# A result that is larger than what it is made of is stored only up to here.
MAX_GROWTH_BYTES = 16 << 20
_RANDOM = ("rand", "dropout", "bernoulli", "multinomial", "normal", "exponential")


def apply(program: ExportedProgram) -> int:
    """Replace each tensor that no input reaches by its value, computed in PyTorch as the model would.

    Stays as it is: random numbers, and a result of more than MAX_GROWTH_BYTES that is larger than its inputs.
    """
    import torch

    graph = program.graph_module.graph
    known: dict[torch.fx.Node, Any] = {}
    for node in graph.nodes:
        if node.op == "placeholder":
            constant = constants.value(program, node)
            if constant is not None:
                known[node] = constant
        elif node.op == "call_function" and _is_foldable(node, known):
            with torch.no_grad():
                args, kwargs = torch.fx.map_arg((node.args, node.kwargs), known.__getitem__)
                value = node.target(*args, **kwargs)
            if _is_affordable(value, [known[n] for n in node.all_input_nodes]):
                known[node] = value
    folded = 0
    for node in reversed(list(graph.nodes)):
        if node.op == "placeholder" or node not in known:
            continue
        if not node.users:
            graph.erase_node(node)
        elif isinstance(known[node], torch.Tensor) and any(u not in known for u in node.users):
            made = constants.add(program, constants.name_for(node), known[node])
            known[made] = known[node]
            edit.replace(program, node, made)
            folded += 1
    graph.eliminate_dead_code()
    return folded


def _is_foldable(node: torch.fx.Node, known: dict[torch.fx.Node, Any]) -> bool:
    name = str(node.target)
    if any(word in name for word in _RANDOM) or not all(n in known for n in node.all_input_nodes):
        return False
    return name.startswith("aten.") or node.target is operator.getitem


def _is_affordable(value: object, inputs: list[Any]) -> bool:
    import torch

    if not isinstance(value, torch.Tensor):
        return isinstance(value, list | tuple)
    size = value.numel() * value.element_size()
    read = sum(v.numel() * v.element_size() for v in inputs if isinstance(v, torch.Tensor))
    return size <= max(MAX_GROWTH_BYTES, read)


REWRITE = Rewrite(
    summary="Compute position tables, masks and all else that depends on weights alone once.",
    order=4,
    apply=apply,
)
