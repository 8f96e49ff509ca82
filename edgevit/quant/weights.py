"""The constants of a graph, and the digest that a plan knows them by."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from edgevit.core.types import Graph

if TYPE_CHECKING:
    import torch


def weights_digest(graph: Graph) -> str:
    """sha256 over the names and bytes of all weights."""
    digest = hashlib.sha256()
    for name, value in sorted(constants(graph).items()):
        digest.update(name.encode())
        digest.update(value.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


def constants(graph: Graph) -> dict[str, torch.Tensor]:
    """All weights and other constants by name."""
    import torch

    program = graph.program
    found: dict[str, Any] = {**program.constants, **program.state_dict}
    return {k: v.detach() for k, v in found.items() if isinstance(v, torch.Tensor)}
