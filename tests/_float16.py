"""A small ViT, and exact rescalings of it that float16 cannot compute."""

from __future__ import annotations

import timm
import torch
from torch import nn

HIDDEN, STREAM, OFFSET = 2.0**20, 2.0**-12, 3000.0


def vit() -> nn.Module:
    """Two blocks at 32x32 with seeded weights, none of them zero."""
    module: nn.Module = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, num_classes=10)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            spread = parameter[0].numel() ** -0.5 if parameter.ndim > 1 and "token" not in name else 0.1
            parameter.copy_(spread * noise + (1.0 if "norm" in name and name.endswith("weight") else 0.0))
    return module.eval().requires_grad_(False)


def overflowing_mlp(module: nn.Module) -> None:
    """Hidden activations of 1e6: fc1 times 2^20, fc2 divided by it."""
    for block in module.blocks:
        block.mlp.fc1.weight.mul_(HIDDEN)
        block.mlp.fc1.bias.mul_(HIDDEN)
        block.mlp.fc2.weight.div_(HIDDEN)


def small_stream(module: nn.Module) -> None:
    """Everything that enters the residual stream, and epsilon with it, scaled down: exact in float32."""
    written = [module.patch_embed.proj]
    for block in module.blocks:
        written += [block.attn.proj, block.mlp.fc2]
        block.norm1.eps *= STREAM**2
        block.norm2.eps *= STREAM**2
    module.norm.eps *= STREAM**2
    for layer in written:
        layer.weight.mul_(STREAM)
        layer.bias.mul_(STREAM)
    module.pos_embed.mul_(STREAM)
    module.cls_token.mul_(STREAM)


def offset_stream(module: nn.Module) -> None:
    """A common offset in the residual stream that every LayerNorm takes out again."""
    module.pos_embed.add_(OFFSET)
