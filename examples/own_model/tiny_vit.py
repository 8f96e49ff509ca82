"""A vision transformer of one's own, small enough to convert in seconds: plain PyTorch, nothing of edgevit."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """Attention and an MLP, each behind a norm; tokens (batch, tokens, channels) in and out."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(
            nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        batch, count, channels = tokens.shape
        split = self.qkv(self.norm1(tokens)).reshape(batch, count, 3, self.heads, channels // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, count, channels)
        tokens = tokens + self.proj(mixed)
        return tokens + self.mlp(self.norm2(tokens))


class TinyViT(nn.Module):
    """Images (batch, 3, 64, 64), normalised; one logit per class."""

    def __init__(self, depth: int, channels: int, classes: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, channels, kernel_size=16, stride=16)
        self.position = nn.Parameter(0.02 * torch.randn(1, 16, channels))
        self.blocks = nn.Sequential(*(Block(channels, heads=2) for _ in range(depth)))
        self.norm = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, classes)

    def forward(self, image: Tensor) -> Tensor:
        tokens = self.patches(image).flatten(2).transpose(1, 2) + self.position
        return self.head(self.norm(self.blocks(tokens)).mean(dim=1))


def build(depth: int = 1, channels: int = 32, num_classes: int = 3) -> TinyViT:
    """The factory that the command names; yours would load a checkpoint here, or leave that to --weights."""
    torch.manual_seed(0)
    return TinyViT(depth, channels, num_classes)
