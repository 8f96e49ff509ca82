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
    def __init__(self, width: int, attention: nn.Module, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = _Norm(width), _Norm(width)
        self.attention = attention
        hidden = mlp_ratio * width
        self.mlp = nn.Sequential(nn.Conv2d(width, hidden, 1), nn.GELU(), nn.Conv2d(hidden, width, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def _deformable(width: int, heads: int, groups: int) -> nn.Module:
    attention: nn.Module = DeformableAttention2D(
        dim=width,
        dim_head=width // heads,
        heads=heads,
        downsample_factor=2,
        offset_kernel_size=4,
        offset_groups=groups,
    )
    return attention


class DAT(nn.Module):
    """Logits of images (N, 3, H, W).

    Args:
        head_width: channels of one head; the width of a stage is that of its `heads`.
        blocks: of each stage; in the last two, every second one is deformable.
        groups: of offsets in the last two stages; they divide the heads.
        window: side of the windows, which divides the maps of all stages.
    """

    def __init__(
        self,
        num_classes: int,
        head_width: int = 16,
        heads: tuple[int, ...] = (1, 2, 3, 4),
        blocks: tuple[int, ...] = (1, 1, 2, 2),
        groups: tuple[int, int] = (3, 4),
        window: int = 4,
        mlp_ratio: int = 2,
    ) -> None:
        super().__init__()
        widths = [head_width * n for n in heads]
        stages: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, 4), _Norm(widths[0])]
        for index, width in enumerate(widths):
            if index:
                stages += [nn.Conv2d(widths[index - 1], width, 2, 2), _Norm(width)]
            for number in range(blocks[index]):
                local = index < 2 or number % 2 == 0
                attention = (
                    _Windows(width, heads[index], window)
                    if local
                    else _deformable(width, heads[index], groups[index - 2])
                )
                stages.append(_Block(width, attention, mlp_ratio))
        self.stages = nn.Sequential(*stages)
        self.norm = _Norm(widths[-1])
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.norm(self.stages(x)).mean((2, 3)))
        return logits


def fill(model: nn.Module) -> None:
    """Weights seeded, none 0, of the size that training leaves.

    The projections of its attention are convolutions, whose random weights edgevit draws larger; the scores
    would be five times as large, and one step of float16 in them several percent of an attention weight.
    """
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
            else:
                parameter.copy_(1 + noise / 8 if "norm" in name and name.endswith("weight") else noise / 10)


def dat(num_classes: int) -> nn.Module:
    """All kinds of blocks, 128x128 images, with weights of its own."""
    model = DAT(num_classes)
    fill(model)
    return model
