"""Hugging Face's vision transformers in small configurations, as the files that save_pretrained writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import transformers


@dataclass(frozen=True, slots=True)
class Saved:
    """One row.

    Attributes:
        kind: the class of transformers.
        config: what its configuration gets besides the size of the image and the number of labels.
        outputs: names of the outputs that the loaded model must have.
    """

    name: str
    kind: str
    config: dict[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] = ("logits",)

    def save(self, folder: Path) -> None:
        """Write the model into `folder`, 64x64 images and 5 classes."""
        kind = getattr(transformers, self.kind)
        classes = {"num_labels": 5} if "logits" in self.outputs else {}
        kind(kind.config_class(image_size=64, **self.config, **classes)).save_pretrained(folder)


_PLAIN: Final = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 96,
    "patch_size": 16,
}
_SWIN: Final = {"patch_size": 4, "embed_dim": 24, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4}
_PVT: Final = {
    "hidden_sizes": [16, 32, 48, 64],
    "num_attention_heads": [1, 2, 3, 4],
    "depths": [1, 1, 1, 1],
    "mlp_ratios": [2, 2, 2, 2],
}
_LEVIT: Final = {
    "hidden_sizes": [32, 48, 64],
    "num_attention_heads": [2, 3, 4],
    "depths": [1, 1, 1],
    "key_dim": [8, 8, 8],
}
_MOBILEVIT: Final = {
    "hidden_sizes": [32, 40, 48],
    "neck_hidden_sizes": [8, 12, 16, 24, 32, 40, 64],
    "num_attention_heads": 2,
    "mlp_ratio": 2.0,
}
_FEATURES: Final = ("last_hidden_state", "pooler_output")

FAMILIES: Final = (
    Saved("vit", "ViTForImageClassification", _PLAIN),
    Saved("deit", "DeiTForImageClassification", _PLAIN),
    Saved(
        "deit_two_heads",
        "DeiTForImageClassificationWithTeacher",
        _PLAIN,
        ("logits", "cls_logits", "distillation_logits"),
    ),
    Saved("beit", "BeitForImageClassification", {**_PLAIN, "use_relative_position_bias": True}),
    Saved("swin", "SwinForImageClassification", _SWIN),
    Saved("swinv2", "Swinv2ForImageClassification", _SWIN),
    Saved("mobilevit", "MobileViTForImageClassification", _MOBILEVIT),
    Saved(
        "mobilevitv2",
        "MobileViTV2ForImageClassification",
        {"width_multiplier": 0.25, "base_attn_unit_dims": [64, 96, 128], "n_attn_blocks": [1, 1, 1]},
    ),
    Saved(  # its code takes the drop path of a layer by the number of the stage: depths below that fail
        "cvt",
        "CvtForImageClassification",
        {"embed_dim": [16, 32, 48], "num_heads": [1, 2, 3], "depth": [1, 2, 3]},
    ),
    Saved("pvt", "PvtForImageClassification", _PVT),
    Saved("dinov2", "Dinov2ForImageClassification", {**_PLAIN, "mlp_ratio": 2}),
    Saved("levit", "LevitForImageClassification", _LEVIT),
    Saved("vit_features", "ViTModel", _PLAIN, _FEATURES),
    Saved("dinov2_features", "Dinov2Model", {**_PLAIN, "mlp_ratio": 2}, _FEATURES),
    Saved("swin_features", "SwinModel", _SWIN, _FEATURES),
    Saved("siglip_features", "SiglipVisionModel", _PLAIN, _FEATURES),
)
