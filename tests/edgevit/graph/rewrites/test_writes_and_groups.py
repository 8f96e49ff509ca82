"""Writing into a part of a tensor, and norms over groups of channels."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgevit.graph.rewrites import (
    group_norm_as_instance_norm,
    group_norm_as_layer_norm,
    remove_aliases,
    writes_as_joins,
)
from tests.edgevit.graph import _small as small
from tests.edgevit.graph.rewrites import _rewritten as r

WRITES = (remove_aliases.REWRITE, writes_as_joins.REWRITE)


def test_what_is_put_into_a_part_is_joined_with_what_stays() -> None:
    def forward(self: r.Lines, x: torch.Tensor) -> torch.Tensor:
        y = x * 2
        y[:, :, 1:, 1:] += x[:, :, 1:, 1:]
        y[:, 1:2, -3:] = x.mean()
        y[:, :, :5] = x[:, :, 5:10]
        return y

    module = r.Lines(forward)
    graph = r.rewritten(module, *WRITES)
    assert not {"slice_scatter", "copy"} & set(r.kinds(graph)) and r.kinds(graph)["cat"] >= 4
    assert r.difference(graph, module) > 300


def test_a_write_of_everything_is_the_value_itself() -> None:
    def forward(self: r.Lines, x: torch.Tensor) -> torch.Tensor:
        y = torch.zeros_like(x)
        y[:, :] = x.relu()
        return y * 2

    module = r.Lines(forward)
    graph = r.rewritten(module, *WRITES)
    assert not {"slice_scatter", "copy", "cat"} & set(r.kinds(graph))
    assert r.difference(graph, module) > 300


def test_every_second_element_is_still_scattered() -> None:
    def forward(self: r.Lines, x: torch.Tensor) -> torch.Tensor:
        y = x * 2
        y[:, :, ::2] = x[:, :, ::2]
        return y

    module = r.Lines(forward)
    graph = r.rewritten(module, *WRITES)
    assert "slice_scatter" in r.kinds(graph)


@pytest.mark.parametrize("groups", [1, 3, 12])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("norm", ["layer_norm", "instance_norm"])
def test_group_norm_is_another_norm_over_each_group(norm: str, groups: int, affine: bool) -> None:
    module = small.randomised(
        r.Lines(
            lambda self, x: self.norm(self.conv(x)),
            conv=nn.Conv2d(3, 12, 3),
            norm=nn.GroupNorm(groups, 12, eps=1e-3, affine=affine),
        )
    )
    rewrite = {
        "layer_norm": group_norm_as_layer_norm.REWRITE,
        "instance_norm": group_norm_as_instance_norm.REWRITE,
    }[norm]
    graph = r.rewritten(module, remove_aliases.REWRITE, rewrite)
    kinds = r.kinds(graph)
    assert kinds[norm] == 1 and not kinds["group_norm"] and r.rank(graph) == 4
    assert r.difference(graph, module) > 120
