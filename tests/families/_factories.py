"""Small models of vit-pytorch and torchvision, whose registered constructors fix the sizes."""

from __future__ import annotations

from functools import partial

import torch
from torchvision.models import MaxVit, SwinTransformer, VisionTransformer
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformerBlockV2
from vit_pytorch.cct import CCT
from vit_pytorch.cvt import CvT
from vit_pytorch.t2t import T2TViT


def t2t(num_classes: int) -> torch.nn.Module:
    return T2TViT(image_size=64, num_classes=num_classes, dim=48, depth=2, heads=3, mlp_dim=96, dim_head=16)


def cct(num_classes: int) -> torch.nn.Module:
    return CCT(
        img_size=64,
        embedding_dim=48,
        n_conv_layers=2,
        num_layers=2,
        num_heads=3,
        mlp_ratio=2.0,
        num_classes=num_classes,
        positional_embedding="learnable",
    )


def cvt(num_classes: int) -> torch.nn.Module:
    stages: dict[str, int] = {}
    for stage, (width, heads) in enumerate(((16, 1), (32, 2), (48, 3)), 1):
        stages |= {
            f"s{stage}_emb_dim": width,
            f"s{stage}_heads": heads,
            f"s{stage}_depth": 1,
            f"s{stage}_mlp_mult": 2,
        }
    return CvT(num_classes=num_classes, **stages)


def torchvision_vit(num_classes: int) -> torch.nn.Module:
    sizes = {
        "image_size": 64,
        "patch_size": 16,
        "num_layers": 2,
        "num_heads": 3,
        "hidden_dim": 48,
        "mlp_dim": 96,
    }
    return VisionTransformer(num_classes=num_classes, **sizes)


_swin = partial(
    SwinTransformer, patch_size=[4, 4], embed_dim=24, depths=[2, 2], num_heads=[2, 4], window_size=[4, 4]
)


def torchvision_swin(num_classes: int) -> torch.nn.Module:
    return _swin(num_classes=num_classes)


def torchvision_swin_v2(num_classes: int) -> torch.nn.Module:
    return _swin(num_classes=num_classes, block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2)


def torchvision_maxvit(num_classes: int) -> torch.nn.Module:
    """Windows of 3 in 4 rows and a grid of 4 in 3: as at full size, no axis of one is an axis of the other."""
    return MaxVit(
        input_size=(48, 48),
        stem_channels=16,
        partition_size=3,
        block_channels=[16, 32],
        block_layers=[1, 1],
        head_dim=16,
        stochastic_depth_prob=0.0,
        num_classes=num_classes,
    )
