"""A pre-norm residual stream in small, with all that may be added to one and read from it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

Extra = Callable[["Residual", torch.Tensor], torch.Tensor]


class Residual(nn.Module):
    """Patches, a class token and positions, two residual branches with a gain, and norms in front of all readers.

    `extra` makes something of the finished stream that goes into the output too; `write` is added to the stream.
    """

    def __init__(self, head: str = "token", extra: Extra | None = None, write: Extra | None = None) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 12, 8, 8)
        self.token, self.position = (
            nn.Parameter(torch.randn(1, 1, 12)),
            nn.Parameter(torch.randn(1, 5, 12) + 3),
        )
        self.norms = nn.ModuleList(nn.LayerNorm(12) for _ in range(3))
        self.branches = nn.ModuleList((nn.Linear(12, 12), nn.Linear(12, 12, bias=False)))
        self.gain, self.last = nn.Parameter(torch.rand(12)), nn.Linear(12, 4)
        self.other, self.grouped = nn.Linear(12, 4), nn.Conv1d(12, 12, 1, groups=3)
        self.head, self.extra, self.write = head, extra, write

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = torch.cat([self.token, self.patch(image).flatten(2).transpose(1, 2)], 1) + self.position
        x = x + self.branches[0](self.norms[0](x)) * self.gain
        x = x + self.branches[1](self.norms[1](x))
        x = x if self.write is None else x + self.write(self, x)
        y = self.norms[2](x[:, 0] if self.head == "token" else x[:, 1:].mean(1))
        return self.last(y) + (0 if self.extra is None else self.extra(self, x))
