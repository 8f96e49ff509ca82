"""Models of docs/zoo.md that no source of edgevit knows by name, at the sizes of their papers."""

from __future__ import annotations

import torch
from vit_pytorch.cct import CCT
from vit_pytorch.cvt import CvT
from vit_pytorch.t2t import T2TViT

from tests.families._dat import DAT, fill


def t2t_vit_14(num_classes: int = 1000) -> torch.nn.Module:
    """Yuan et al. 2021, table 2."""
    return T2TViT(image_size=224, num_classes=num_classes, dim=384, depth=14, heads=6, mlp_dim=1152)


def cct_14_7x2(num_classes: int = 1000) -> torch.nn.Module:
    """Hassani et al. 2021, for ImageNet."""
    return CCT(
        img_size=224,
        embedding_dim=384,
        n_conv_layers=2,
        kernel_size=7,
        stride=2,
        padding=3,
        num_layers=14,
        num_heads=6,
        mlp_ratio=3.0,
        num_classes=num_classes,
        positional_embedding="learnable",
    )


def cvt_13(num_classes: int = 1000) -> torch.nn.Module:
    """Wu et al. 2021, table 2."""
    return CvT(num_classes=num_classes)


def dat_tiny(num_classes: int = 1000) -> torch.nn.Module:
    """Xia et al. 2022, table 1: widths 96 to 768, windows of 7, three and six groups of offsets."""
    model = DAT(
        num_classes,
        head_width=32,
        heads=(3, 6, 12, 24),
        blocks=(2, 2, 6, 2),
        groups=(3, 6),
        window=7,
        mlp_ratio=4,
    )
    fill(model)
    return model
