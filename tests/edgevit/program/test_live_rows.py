"""The rows that are said not to count do not, by the derivatives of the output; those that count do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from edgevit.program.live_rows import live_rows
from edgevit.quant import plan_whole_graph
from edgevit.quant.output_sensitivity import Errors, Made, output_errors
from tests.converters import _small_models as models


class Block(nn.Module):
    """Attention and an MLP over a class token and patches; `read` says which rows the head reads."""

    def __init__(self, read: str) -> None:
        super().__init__()
        self.patch, self.token = nn.Conv2d(3, 16, 8, 8), nn.Parameter(torch.randn(1, 1, 16))
        self.norm1, self.norm2, self.qkv = nn.LayerNorm(16), nn.LayerNorm(16), nn.Linear(16, 48)
        self.project, self.up, self.down = nn.Linear(16, 16), nn.Linear(16, 32), nn.Linear(32, 16)
        self.scale, self.head, self.read = nn.Parameter(torch.rand(16)), nn.Linear(16, 10), read

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        tokens = torch.cat([self.token, self.patch(image).flatten(2).transpose(1, 2)], 1)
        count = tokens.shape[1]
        q, k, v = self.qkv(self.norm1(tokens)).reshape(1, count, 3, 2, 8).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(1, count, 16)
        tokens = tokens + self.scale * self.project(mixed)
        tokens = tokens + self.down(nn.functional.gelu(self.up(self.norm2(tokens))))
        if self.read == "token":
            tokens = tokens[:, 0]
        elif self.read == "both":
            tokens = tokens[:, 0] + tokens[:, 2:4].mean(1)
        else:
            tokens = tokens.mean(1)
        out: torch.Tensor = self.head(tokens)
        return out


@pytest.mark.parametrize(("read", "rows"), [("token", (0,)), ("both", (0, 2, 3)), ("all", None)])
def test_no_other_row_moves_the_output(read: str, rows: tuple[int, ...] | None) -> None:
    torch.manual_seed(0)
    graph = models.graph_of(Block(read))
    found = live_rows(graph)
    if rows is None:
        assert found == {}
        return
    layers = {"project:linear", "up:linear", "down:linear"}
    assert layers <= set(found) and "qkv:linear" not in found
    assert set(found.values()) == {rows}

    def errors_of(name: str) -> Errors:
        def errors(value: torch.Tensor, _made: Made) -> Iterator[torch.Tensor]:
            for index in range(value.shape[-2]):
                moved = torch.zeros_like(value)
                moved[..., index, :] = 1
                yield moved

        return errors

    images = models.normalised(models.pixels(2))
    moved = output_errors(graph, images, {name: errors_of(name) for name in found}, 0)
    for name, by_row in moved.items():
        assert tuple(by_row.nonzero().flatten().tolist()) == rows, name


@pytest.mark.parametrize(("count", "kept"), [(64, 1), (63, 5)])
def test_too_few_rows_that_count_are_joined_by_all_others(count: int, kept: int) -> None:
    assert plan_whole_graph._of_rows(torch.zeros(count, 1, 1, 5, 16), (0,)).shape[-2] == kept
