"""Windows as gathered rows against torch.Tensor.unfold."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgevit.graph.export import export_model
from edgevit.graph.rewrites import lower_rank, remove_aliases, simplify_permutes, unfold_as_gather
from edgevit.program import edit
from edgevit.program.run import run
from tests.edgevit.graph import _small as small

# Windows in their order, each over an axis of what the one before gives: (dimension, size, step).
CHAINS = [
    ((2, 4, 4),),  # tiles
    ((-1, 5, 2),),
    ((3, 4, 3), (2, 3, 1)),
    ((1, 2, 1), (2, 6, 5), (3, 16, 1)),
    ((2, 3, 5),),  # gaps
    ((2, 8, 2), (4, 3, 1)),  # windows of a window
    ((2, 8, 2), (2, 2, 1)),  # windows of the windows' own axis
    ((3, 8, 4), (2, 8, 4), (-1, 2, 1), (1, 2, 1)),
]


class _Windows(nn.Module):
    def __init__(self, chain: tuple[tuple[int, int, int], ...]) -> None:
        super().__init__()
        self.chain = chain

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        for dimension, size, step in self.chain:
            image = image.unfold(dimension, size, step)
        return image


@pytest.mark.parametrize("chain", CHAINS)
def test_windows_are_those_of_unfold(chain: tuple[tuple[int, int, int], ...]) -> None:
    graph = small.graph_of(_Windows(chain), unfold_as_gather=unfold_as_gather.REWRITE)
    assert graph.rewrites == ("unfold_as_gather",)
    assert torch.ops.aten.unfold.default not in [n.target for n in graph.program.graph.nodes]
    wanted = torch.cat([_Windows(chain)(image[None]) for image in small.images(2)])
    assert torch.equal(run(graph, small.images(2))[0][0], wanted)


class _Halo(nn.Module):
    """Windows of 10x10 around blocks of 8x8, as HaloNet cuts them; the rows of them are read once more."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rows = nn.functional.pad(image, [1, 1, 1, 1]).unfold(2, 10, 8)
        windows = rows.unfold(3, 10, 8).reshape(3, 1, 4, 100).permute(0, 2, 3, 1)
        return windows.reshape(1, 12, 100), rows.amax(-1)


def test_windows_over_both_axes_stay_at_rank_4() -> None:
    rewrites = {
        "remove_aliases": remove_aliases.REWRITE,
        "unfold_as_gather": unfold_as_gather.REWRITE,
        "lower_rank": lower_rank.REWRITE,
        "simplify_permutes": simplify_permutes.REWRITE,
    }
    model = small.model_of(_Halo(), outputs=2)
    graph = export_model(model, rewrites)
    images = small.images(1)
    for found, wanted in zip(run(graph, images)[0], _Halo()(images), strict=True):
        assert torch.equal(found, wanted)
    ranks = [len(edit.shape(n)) for n in graph.program.graph.nodes if edit.is_tensor(n)]
    assert max(ranks) == 4
