"""What a graph computes, as one digest: the file that it is saved in has other bytes each time."""

from __future__ import annotations

import hashlib
from typing import Any

from edgevit.core.types import Graph
from edgevit.program.sites import named


def graph_digest(graph: Graph) -> str:
    """SHA-256 over operations with arguments, shapes, types and site names, the signature, and all tensors."""
    import torch

    digest = hashlib.sha256()
    program = graph.program

    def add(*words: object) -> None:
        digest.update("\0".join(map(str, words)).encode() + b"\n")

    add(*graph.rewrites)
    inner = [
        module.graph for module in program.graph_module.modules() if isinstance(module, torch.fx.GraphModule)
    ]
    for node in (node for within in inner for node in within.nodes):
        add(node.op, node.name, node.target, node.args, node.kwargs, named(node), _form(node.meta.get("val")))
    add(program.graph_signature)
    tensors: dict[str, Any] = {**program.constants, **program.state_dict}
    for name, value in sorted(tensors.items()):
        if isinstance(value, torch.Tensor):
            add(name, value.dtype, tuple(value.shape))
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        else:
            add(name, value)
    return digest.hexdigest()


def _form(value: Any) -> str:
    """Shape and type of what an operation gives."""
    if isinstance(value, (tuple, list)):
        return ",".join(map(_form, value))
    return f"{tuple(value.shape)} {value.dtype}" if hasattr(value, "shape") else str(value)
