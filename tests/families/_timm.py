"""timm's vision transformers, each in a small configuration.

Few blocks, narrow where the constructor allows it, and images just large enough that windows, shifts
and reductions all happen: a window of 4 on a map of 8 is shifted, a map of the window's size is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_SMALL: Final = Path(__file__).with_name("_small.py")


@dataclass(frozen=True, slots=True)
class Family:
    """One row.

    Attributes:
        model: timm's name, or `python:` for a factory of `_small.py`.
        size: pixels of the square image.
        flat: no tensor may have a rank above 4 in TFLite and Core ML.
        args: what timm's constructor gets, as `--model-arg` would.
    """

    name: str
    model: str
    size: int
    flat: bool = False
    args: dict[str, object] = field(default_factory=dict)
    classes: int = 10

    @property
    def source(self) -> str:
        """The MODEL text."""
        kind, _, factory = self.model.rpartition(":")
        return f"python:{_SMALL}:{factory}" if kind else f"timm:{self.model}"


_PLAIN: Final = {"depth": 2, "embed_dim": 48, "num_heads": 3}

FAMILIES: Final = (
    Family("vit", "vit_tiny_patch16_224", 64, True, _PLAIN),
    Family("vit_features", "vit_tiny_patch16_224", 64, True, _PLAIN, classes=0),
    Family("deit", "deit_tiny_patch16_224", 64, True, _PLAIN),
    Family("deit_distilled", "deit_tiny_distilled_patch16_224", 64, True, _PLAIN),
    Family("deit_two_heads", "python:deit_two_heads", 64, True),
    Family("deit3", "deit3_small_patch16_224", 64, True, _PLAIN),
    Family("cait", "cait_xxs24_224", 64, True, {**_PLAIN, "depth_token_only": 1}),
    Family("beit", "beit_base_patch16_224", 64, True, _PLAIN),
    Family("beitv2", "beitv2_base_patch16_224", 64, True, _PLAIN),
    Family(
        "swin",
        "swin_tiny_patch4_window7_224",
        64,
        True,
        {"embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4), "window_size": 4},
    ),
    Family(
        "swinv2",
        "swinv2_tiny_window8_256",
        64,
        True,
        {"embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4), "window_size": 4},
    ),
    Family("mobilevit_xxs", "python:mobilevit_xxs", 96, True),  # its last map is odd: it is resized
    Family("mobilevit_xs", "python:mobilevit_xs", 64, True),
    Family("mobilevit_s", "python:mobilevit_s", 64, True),
    Family("mobilevitv2", "python:mobilevitv2", 96, True),
    Family("pvtv2", "pvt_v2_b0", 64, True, {"depths": (1, 1, 1, 1)}),
    Family(
        "pvtv2_linear", "pvt_v2_b2_li", 64, True, {"depths": (1, 1, 1, 1), "embed_dims": (32, 32, 40, 64)}
    ),
    Family(
        "coatnet", "coatnet_nano_rw_224", 64, False, {"depths": (1, 1, 1, 1), "embed_dim": (32, 32, 64, 64)}
    ),
    Family("dinov2_registers", "vit_small_patch14_reg4_dinov2", 56, False, _PLAIN),
    Family("dinov3", "vit_small_patch16_dinov3", 64, False, _PLAIN),
    Family("siglip", "vit_base_patch16_siglip_224", 64, False, _PLAIN, classes=0),
    Family("mobileclip", "fastvit_mci0", 64, False, {"layers": (1, 1, 1, 1), "embed_dims": (16, 32, 64, 64)}),
    Family("mobileclip_b", "vit_base_mci_224", 64, False, {"depth": 1}),
    Family("flexivit", "flexivit_small", 64, False, _PLAIN),
    Family("eva02", "eva02_tiny_patch14_224", 56, False, _PLAIN),
    Family("mvitv2", "python:mvitv2_small", 64),
    Family("mvitv2_class_token", "python:mvitv2_class_token", 64),
    Family("twins_pcpvt", "twins_pcpvt_small", 64, False, {"depths": (1, 1, 1, 1)}),
    Family("twins_svt", "twins_svt_small", 64, False, {"depths": (2, 1, 1, 1)}),
    Family("levit", "levit_128s", 64, False, {"depth": (1, 1, 1)}),
    Family("levit_conv", "levit_conv_128s", 64, False, {"depth": (1, 1, 1)}),
    Family(
        "efficientformer",
        "efficientformer_l1",
        224,
        False,
        {"depths": (1, 1, 1, 2), "embed_dims": (16, 32, 48, 64)},
    ),
    Family("efficientformerv2", "efficientformerv2_s0", 64, False, {"depths": (1, 1, 2, 2)}),
    Family("efficientvit_mit", "efficientvit_b0", 128),  # at 64 pixels it hardly sees the image
    Family("efficientvit_msra", "efficientvit_m0", 64, False, {"depth": (1, 1, 1), "num_heads": (2, 2, 2)}),
    Family("fastvit", "fastvit_sa12", 64, False, {"layers": (1, 1, 1, 1), "embed_dims": (16, 32, 64, 64)}),
    Family(
        "tiny_vit",
        "tiny_vit_5m_224",
        64,
        False,
        {
            "depths": (1, 2, 2, 2),
            "embed_dims": (32, 32, 64, 64),
            "num_heads": (1, 1, 2, 2),
            "window_sizes": (4, 4, 2, 2),
        },
    ),
    Family("edgenext", "edgenext_xx_small", 64),
    Family("repvit", "repvit_m0_9", 64, False, {"depth": (1, 1, 2, 1), "embed_dim": (16, 32, 48, 64)}),
    Family("swiftformer", "swiftformer_xs", 64, False, {"layers": (1, 1, 1, 1)}),
    Family("poolformer", "python:poolformer_small", 64),
    Family("poolformerv2", "python:poolformerv2_small", 64),
    Family("xcit", "xcit_nano_12_p16_224", 64, False, {"depth": 2, "embed_dim": 64}),
    Family("gcvit", "python:gcvit_small", 64),
    Family(
        "davit",
        "davit_tiny",
        64,
        False,
        {"depths": (1, 1, 1, 1), "embed_dims": (24, 24, 48, 48), "num_heads": (2, 2, 2, 2), "window_size": 4},
    ),
    Family("maxvit", "python:maxvit_small", 64),
    Family("maxvit_tf", "python:maxvit_tf_small", 64),
    Family("hiera", "hiera_tiny_224", 64, False, {"stages": (1, 1, 2, 1), "embed_dim": 24}),
)
