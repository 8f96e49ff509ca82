"""Circular borders as gathered rows against torch.nn.functional.pad."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from edgevit.graph.adapt import adapt
from edgevit.graph.export import export_model
from edgevit.graph.rewrites import gather_circular_borders
from edgevit.program.run import run
from tests.edgevit.graph import _small as small

REWRITES = {"gather_circular_borders": gather_circular_borders.REWRITE}


class _Borders(nn.Module):
    """Images of 16x16, rows, and volumes of 4x4x16."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found = [
            functional.pad(image, pad, "circular") for pad in ((1, 1, 1, 1), (3, 0, 1, 2), (-1, 2, 3, -2))
        ]
        found.append(functional.pad(image.flatten(2), (5, 9), "circular"))
        found.append(functional.pad(image.reshape(1, 3, 4, 4, 16), (1, 2, 3, 0, 2, 1), "circular"))
        return torch.cat([value.reshape(1, -1) for value in found], 1)


def test_rows_are_those_of_pad() -> None:
    after = adapt(small.graph_of(_Borders()), REWRITES, "coreml", planned=False)
    assert after.rewrites[-1] == "gather_circular_borders"
    wanted = torch.cat([_Borders()(image[None]) for image in small.images(2)])
    assert torch.equal(run(after, small.images(2))[0][0], wanted)


def test_what_core_ml_has_stays() -> None:
    graph = export_model(small.model_of(nn.ReflectionPad2d(1)), {})
    assert adapt(graph, REWRITES, "coreml", planned=False) is graph
