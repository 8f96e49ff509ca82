"""A vision transformer with deformable attention (DAT), Xia et al. 2022, figure 2 and section 3.3.

Four stages; the first two attend within windows, the last two alternate with attention to points that
the queries themselves shift (offsets, bilinear sampling), from the `deformable-attention` package.
"""

from __future__ import annotations

import torch
from deformable_attention import DeformableAttention2D
from torch import nn


class _Norm(nn.LayerNorm):
    """Layer norm over the channels of (N, C, H, W)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _Windows(nn.Module):
    """Attention within square windows of a map (N, C, H, W)."""

    def __init__(self, width: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads, self.side = heads, side
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        s = self.side
        x = x.reshape(n, c, h // s, s, w // s, s).permute(0, 2, 4, 3, 5, 1).reshape(-1, s * s, c)
        q, k, v = self.qkv(x).reshape(-1, s * s, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        x = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(-1, s * s, c)
        x = self.proj(x).reshape(n, h // s, w // s, s, s, c)
        return x.permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w)


class _Block(nn.Module):
    def __init__(self, width: int, attention: nn.Module) -> None:
        super().__init__()
        self.norm1, self.norm2 = _Norm(width), _Norm(width)
        self.attention = attention
        self.mlp = nn.Sequential(nn.Conv2d(width, 2 * width, 1), nn.GELU(), nn.Conv2d(2 * width, width, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def _deformable(width: int, heads: int) -> nn.Module:
    attention: nn.Module = DeformableAttention2D(
        dim=width,
        dim_head=width // heads,
        heads=heads,
        downsample_factor=2,
        offset_kernel_size=4,
        offset_groups=heads,
    )
    return attention


class DAT(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        stages: list[nn.Module] = [nn.Conv2d(3, 16, 4, 4), _Norm(16)]
        for index, heads in enumerate((1, 2, 3, 4)):
            width = 16 * heads
            if index:
                stages += [nn.Conv2d(width - 16, width, 2, 2), _Norm(width)]
            stages.append(_Block(width, _Windows(width, heads, 4)))
            if index >= 2:
                stages.append(_Block(width, _deformable(width, heads)))
        self.stages = nn.Sequential(*stages)
        self.norm = _Norm(64)
        self.head = nn.Linear(64, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.norm(self.stages(x)).mean((2, 3)))
        return logits


def dat(num_classes: int) -> nn.Module:
    """With weights of its own: seeded, none 0, of the size that training leaves.

    The projections of its attention are convolutions, whose random weights edgevit draws larger; the scores
    would be five times as large, and one step of float16 in them several percent of an attention weight.
    """
    model = DAT(num_classes)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
            else:
                parameter.copy_(1 + noise / 8 if "norm" in name and name.endswith("weight") else noise / 10)
    return model
