"""Small models of timm's classes whose registered constructors do not take sizes, and one with two outputs.

Loaded through `python:`; the keyword arguments are the classes' own.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from timm import create_model
from timm.layers import GroupNorm1
from timm.models import byobnet, maxxvit, metaformer, mobilevit, mvitv2
from timm.models import gcvit as gc


def _mobilevit(kind: str, num_classes: int) -> torch.nn.Module:
    """Every stage of the published model, with one block and one transformer layer each."""
    config = mobilevit.model_cfgs[kind]
    stages = []
    for stage in config.blocks:
        blocks = stage if isinstance(stage, tuple) else (stage,)
        stages.append(tuple(replace(b, d=1, block_kwargs=_one_layer(b.block_kwargs)) for b in blocks))
    return byobnet.ByobNet(replace(config, blocks=tuple(stages)), num_classes=num_classes)


def _one_layer(settings: dict[str, Any] | None) -> dict[str, Any]:
    return {k: 1 if k == "transformer_depth" else v for k, v in (settings or {}).items()}


def mobilevit_xxs(num_classes: int) -> torch.nn.Module:
    return _mobilevit("mobilevit_xxs", num_classes)


def mobilevit_xs(num_classes: int) -> torch.nn.Module:
    return _mobilevit("mobilevit_xs", num_classes)


def mobilevit_s(num_classes: int) -> torch.nn.Module:
    return _mobilevit("mobilevit_s", num_classes)


def mobilevitv2(num_classes: int) -> torch.nn.Module:
    return _mobilevit("mobilevitv2_050", num_classes)


def mvitv2_small(num_classes: int) -> torch.nn.Module:
    sizes: dict[str, Any] = {"depths": (1, 1, 1, 1), "embed_dim": (24, 48, 96, 192)}
    return mvitv2.MultiScaleVit(
        replace(mvitv2.model_cfgs["mvitv2_tiny"], **sizes), 64, num_classes=num_classes
    )


def mvitv2_class_token(num_classes: int) -> torch.nn.Module:
    sizes: dict[str, Any] = {"depths": (1, 1), "embed_dim": (24, 48), "num_heads": (1, 2)}
    config = replace(
        mvitv2.model_cfgs["mvitv2_small_cls"], stride_q=((1, 1), (2, 2)), stride_kv=None, **sizes
    )
    return mvitv2.MultiScaleVit(config, 64, num_classes=num_classes)


def _maxvit(kind: str, num_classes: int) -> torch.nn.Module:
    config = maxxvit.model_cfgs[kind]
    assert config.transformer_cfg is not None
    attention = replace(config.transformer_cfg, dim_head=16, window_size=(4, 4), grid_size=(4, 4))
    sizes: dict[str, Any] = {
        "embed_dim": (32, 48),
        "depths": (1, 1),
        "block_type": ("M", "M"),
        "stem_width": 16,
    }
    return maxxvit.MaxxVit(replace(config, transformer_cfg=attention, **sizes), 64, num_classes=num_classes)


def maxvit_small(num_classes: int) -> torch.nn.Module:
    return _maxvit("maxvit_pico_rw", num_classes)


def maxvit_tf_small(num_classes: int) -> torch.nn.Module:
    """The publishers' own form, which pads as TensorFlow does."""
    return _maxvit("maxvit_tiny_tf", num_classes)


def gcvit_small(num_classes: int) -> torch.nn.Module:
    sizes: dict[str, Any] = {"depths": (1, 1, 2, 1), "num_heads": (1, 2, 2, 4), "window_size": (4, 4, 4, 2)}
    return gc.GlobalContextVit(num_classes=num_classes, img_size=64, embed_dim=16, layer_scale=1e-5, **sizes)


_STAGES: dict[str, Any] = {"depths": (1, 1, 1, 1), "dims": (16, 32, 48, 64), "use_mlp_head": False}


def poolformer_small(num_classes: int) -> torch.nn.Module:
    return metaformer.MetaFormer(
        num_classes=num_classes,
        downsample_norm=None,
        mlp_act=torch.nn.GELU,
        mlp_bias=True,
        norm_layers=GroupNorm1,
        layer_scale_init_values=1e-5,
        res_scale_init_values=None,
        **_STAGES,
    )


def poolformerv2_small(num_classes: int) -> torch.nn.Module:
    norm = partial(metaformer.GroupNorm1NoBias)
    return metaformer.MetaFormer(num_classes=num_classes, norm_layers=norm, **_STAGES)


class _TwoHeads(torch.nn.Module):
    """What a distilled DeiT gives in training: one output per head instead of their mean."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = self.inner.forward_features(image)
        return self.inner.head(tokens[:, 0]), self.inner.head_dist(tokens[:, 1])


def deit_two_heads(num_classes: int) -> torch.nn.Module:
    inner = create_model(
        "deit_tiny_distilled_patch16_224",
        num_classes=num_classes,
        img_size=64,
        depth=2,
        embed_dim=48,
        num_heads=3,
    )
    return _TwoHeads(inner)
