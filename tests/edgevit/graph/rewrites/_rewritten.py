"""Export a few lines of arithmetic, apply chosen rewrites, compare with PyTorch."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable

import torch
from torch import nn

from edgevit.core.plugins import Rewrite
from edgevit.core.types import Graph
from edgevit.graph.export import export_model
from edgevit.program.run import _compile
from edgevit.program.sites import list_sites
from tests.edgevit.graph import _small as small


class Lines(nn.Module):
    """A forward pass given as a function of the module and the image, and what it holds."""

    def __init__(self, forward: Callable[..., torch.Tensor], **held: nn.Module | torch.Tensor) -> None:
        super().__init__()
        for name, value in held.items():
            setattr(self, name, value if isinstance(value, nn.Module) else nn.Buffer(value))
        self.lines = forward

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.lines(self, image)


def rewritten(module: nn.Module, *rewrites: Rewrite) -> Graph:
    """The exported program behind these rewrites, whatever target they are for."""
    shared = {str(i): dataclasses.replace(rewrite, targets=()) for i, rewrite in enumerate(rewrites)}
    return export_model(small.model_of(module.eval()), shared)


def kinds(graph: Graph) -> Counter[str]:
    return Counter(site.kind for site in list_sites(graph))


def rank(graph: Graph) -> int:
    return max(len(site.shape) for site in list_sites(graph))


def difference(graph: Graph, module: nn.Module) -> float:
    """SQNR in dB on two random images, each alone as the module gets them."""
    call = _compile(graph, None, None, {})
    wanted, found = [], []
    with torch.no_grad():
        for image in small.images(2):
            wanted.append(module(image[None]))
            found.append(call(image[None])[0][0])
    return small.db(torch.stack(wanted), torch.stack(found))
