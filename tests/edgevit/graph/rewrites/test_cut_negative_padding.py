"""Padding that cuts, as slices, against torch.nn.functional.pad."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from edgevit.graph.adapt import adapt
from edgevit.graph.export import export_model
from edgevit.graph.rewrites import cut_negative_padding
from edgevit.program.run import run
from tests.edgevit.graph import _small as small

REWRITES = {"cut_negative_padding": cut_negative_padding.REWRITE}
PADS = ((-1, -1, -1, -1), (-1, 2, 3, -2), (0, 0, -3, 0), (-1, 1, 0, 0, 0, -2), (4, -4))


class _Pads(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found = [functional.pad(image, pad, value=value) for pad in PADS for value in (0.0, -7.0)]
        return torch.cat([value.reshape(1, -1) for value in found], 1)


@pytest.mark.parametrize("target", ["coreml", "tflite"])
def test_what_is_cut_and_added_is_what_pad_gives(target: str) -> None:
    after = adapt(small.graph_of(_Pads()), REWRITES, target, planned=False)
    assert after.rewrites[-1] == "cut_negative_padding"
    wanted = torch.cat([_Pads()(image[None]) for image in small.images(2)])
    assert torch.equal(run(after, small.images(2))[0][0], wanted)
    borders = [n.args[1] for n in after.program.graph.nodes if "constant_pad" in str(n.target)]
    assert borders and all(border >= 0 for pad in borders for border in pad)


def test_padding_that_adds_stays() -> None:
    graph = export_model(small.model_of(nn.ZeroPad2d(1)), {})
    assert adapt(graph, REWRITES, "coreml", planned=False) is graph
