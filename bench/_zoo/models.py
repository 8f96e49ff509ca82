"""The models of docs/zoo.md: one published size, the smallest, of each family."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
_SEEDED: Final = ("--random-weights", "1")


@dataclass(frozen=True, slots=True)
class Entry:
    """One row.

    Attributes:
        family: as users call it.
        model: MODEL of the command line; for `hf` the architecture's model_type in transformers, of
            which the default configuration is taken, with `config` on top; for `keras` a factory of
            `bench._zoo.keras`.
        flags: further flags of the command line; without any, the model has weights of its own.
    """

    family: str
    model: str
    flags: tuple[str, ...] = _SEEDED
    config: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def source(self) -> str:
        """MODEL, and the flags that are not every row's."""
        return " ".join((self.model, *(flag for flag in self.flags if flag not in _SEEDED)))


_TIMM: Final = {
    "ViT": "vit_tiny_patch16_224",
    "DeiT": "deit_tiny_patch16_224",
    "DeiT distilled": "deit_tiny_distilled_patch16_224",
    "DeiT-3": "deit3_small_patch16_224",
    "CaiT": "cait_xxs24_224",
    "BEiT": "beit_base_patch16_224",
    "BEiT v2": "beitv2_base_patch16_224",
    "Swin v1": "swin_tiny_patch4_window7_224",
    "Swin v2": "swinv2_tiny_window8_256",
    "MobileViT xxs": "mobilevit_xxs",
    "MobileViT xs": "mobilevit_xs",
    "MobileViT s": "mobilevit_s",
    "MobileViT v2": "mobilevitv2_050",
    "PVT v2": "pvt_v2_b0",
    "CoAtNet": "coatnet_nano_rw_224",
    "DINOv2": "vit_small_patch14_dinov2",
    "DINOv2, registers": "vit_small_patch14_reg4_dinov2",
    "DINOv3": "vit_small_patch16_dinov3",
    "SigLIP": "vit_base_patch16_siglip_224",
    "MobileCLIP": "fastvit_mci0",
    "FlexiViT": "flexivit_small",
    "EVA-02": "eva02_tiny_patch14_224",
    "MViT v2": "mvitv2_tiny",
    "Twins PCPVT": "twins_pcpvt_small",
    "Twins SVT": "twins_svt_small",
    "LeViT": "levit_128s",
    "EfficientFormer": "efficientformer_l1",
    "EfficientFormer v2": "efficientformerv2_s0",
    "EfficientViT (MIT)": "efficientvit_b0",
    "EfficientViT (MSRA)": "efficientvit_m0",
    "FastViT": "fastvit_t8",
    "TinyViT": "tiny_vit_5m_224",
    "EdgeNeXt": "edgenext_xx_small",
    "RepViT": "repvit_m0_9",
    "SwiftFormer": "swiftformer_xs",
    "PoolFormer": "poolformer_s12",
    "XCiT": "xcit_nano_12_p16_224",
    "GC-ViT": "gcvit_xxtiny",
    "DaViT": "davit_tiny",
    "MaxViT": "maxvit_tiny_tf_224",
    "Hiera": "hiera_tiny_224",
}
# What is usual on devices where timm's own size, 518 pixels, is a server's.
_SMALLER: Final = {"vit_small_patch14_reg4_dinov2": ("--image-size", "224")}
_HF: Final[tuple[tuple[str, str, Mapping[str, Any]], ...]] = (
    ("ViT", "vit", {}),
    ("DeiT", "deit", {}),
    ("BEiT", "beit", {}),
    ("Swin v1", "swin", {}),
    ("Swin v2", "swinv2", {}),
    ("MobileViT", "mobilevit", {"image_size": 256}),
    ("MobileViT v2", "mobilevitv2", {"image_size": 256}),
    ("CvT", "cvt", {}),
    ("PVT", "pvt", {}),
    ("DINOv2", "dinov2", {}),
    ("LeViT", "levit", {}),
)
_TORCHVISION: Final = {"ViT": "vit_b_16", "Swin v1": "swin_t", "Swin v2": "swin_v2_t", "MaxViT": "maxvit_t"}

_FACTORIES: Final = "python:bench.zoo_factories:"

ENTRIES: Final = (
    *(Entry(family, f"timm:{name}", (*_SEEDED, *_SMALLER.get(name, ()))) for family, name in _TIMM.items()),
    *(Entry(family, f"hf:{kind}", config=config) for family, kind, config in _HF),
    *(Entry(family, f"torchvision:{name}") for family, name in _TORCHVISION.items()),
    Entry("T2T-ViT", f"{_FACTORIES}t2t_vit_14"),
    Entry("CCT", f"{_FACTORIES}cct_14_7x2"),
    Entry("CvT", f"{_FACTORIES}cvt_13"),
    Entry("DAT", f"{_FACTORIES}dat_tiny", flags=("--preprocess", "normalize=imagenet")),
    Entry("ViT", "keras:vit_tiny", flags=()),
    Entry("MobileViT xxs", "keras:mobilevit_xxs", flags=()),
)


def command_text(entry: Entry, cache: Path, keras_python: str) -> str:
    """MODEL for the command line; what a folder or a file is needed for is made in `cache`.

    Args:
        keras_python: interpreter of an environment with TensorFlow.
    """
    source, _, name = entry.model.partition(":")
    if source == "hf":
        return f"hf:{_hugging_face(name, entry.config, cache)}"
    if source == "keras":
        environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [keras_python, "-m", "bench._zoo.keras", name, str(cache)]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        return f"keras:{cache / name}.keras"
    return entry.model


def _hugging_face(name: str, given: Mapping[str, Any], cache: Path) -> Path:
    """A folder with the configuration alone."""
    from transformers import CONFIG_MAPPING, AutoModelForImageClassification

    config = CONFIG_MAPPING[name](**given)
    folder = cache / f"hf-{name}"
    kind = AutoModelForImageClassification._model_mapping[type(config)]
    kind = (
        kind[0] if isinstance(kind, tuple) else kind
    )  # DeiT has one class with and one without its second head
    config.architectures = [kind.__name__]
    config.save_pretrained(folder)
    return folder
