"""Reflected, repeated and circular borders as gathered rows against torch.nn.functional.pad."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from edgevit.graph.adapt import adapt
from edgevit.graph.export import export_model
from edgevit.graph.rewrites import gather_borders, gather_circular_borders
from edgevit.program.run import run
from tests.edgevit.graph import _small as small

PADS = ((1, 1, 1, 1), (3, 0, 1, 2), (0, 2, 0, 0), (-1, 2, 3, -2))


class _Borders(nn.Module):
    """Images of 16x16 with and without an axis of images, rows, and volumes of 4x4x16."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found = []
        for mode in ("reflect", "replicate", "circular"):
            found += [functional.pad(image, pad, mode) for pad in PADS]
            found += [
                functional.pad(image[0], (2, 1, 1, 2), mode),
                functional.pad(image.flatten(2), (5, 9), mode),
            ]
            found += [functional.pad(image.reshape(1, 3, 4, 4, 16), (1, 2, 3, 0, 2, 1), mode)]
        return torch.cat([value.reshape(1, -1) for value in found], 1)


def test_rows_are_those_of_pad() -> None:
    graph = small.graph_of(_Borders())
    after = adapt(graph, {"gather_borders": gather_borders.REWRITE}, "tflite", planned=False)
    assert after.rewrites[-1] == "gather_borders"
    assert not any("pad" in str(n.target) for n in after.program.graph.nodes if n.op == "call_function")
    wanted = torch.cat([_Borders()(image[None]) for image in small.images(2)])
    assert torch.equal(run(after, small.images(2))[0][0], wanted)


def test_other_targets_keep_what_they_have() -> None:
    rewrites = {"gather_circular_borders": gather_circular_borders.REWRITE}
    for target in ("onnx", "coreml"):
        graph = export_model(small.model_of(nn.ReflectionPad2d(1)), {})
        assert adapt(graph, rewrites, target, planned=False) is graph
        graph = export_model(small.model_of(nn.CircularPad2d((1, 2, 3, 0))), {})
        after = adapt(graph, rewrites, target, planned=False)
        wanted = functional.pad(small.images(1), (1, 2, 3, 0), "circular")
        assert torch.equal(run(after, small.images(1))[0][0], wanted)
