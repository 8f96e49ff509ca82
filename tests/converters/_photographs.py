"""From a JPEG file to logits and class: with nothing but an artifact, and as PyTorch's own pipeline does it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from timm.data import create_transform

from calibration.preprocess import to_pixels
from edgevit.core.plugins import Runtime
from edgevit.core.runner import RunOptions
from edgevit.core.types import Graph, ModelSpec, Preprocess, TensorSpec, TorchModel
from edgevit.graph.export import export_model
from edgevit.models._random import randomise
from edgevit.registries import REWRITES

SIZE, CLASSES, CROP = 64, 10, 0.9
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WRONG_MEAN = (0.185, 0.456, 0.906)  # as long as MEAN when it is written out
LABELS = tuple(f"class {index}" for index in range(CLASSES))
PREPROCESS = Preprocess(SIZE, SIZE, (int(SIZE / CROP), int(SIZE / CROP)), mean=MEAN, std=STD)


def made() -> tuple[torch.nn.Module, Graph, ModelSpec]:
    """Two blocks of a ViT with seeded random weights, its graph, and its spec with preprocessing and labels."""
    module = timm.create_model(
        "vit_tiny_patch16_224", img_size=SIZE, patch_size=8, depth=2, embed_dim=64, num_heads=2,
        num_classes=CLASSES,
    ).eval()  # fmt: skip
    randomise(module, 2, (SIZE, SIZE))
    outputs = (TensorSpec("logits", (1, CLASSES), "float32"),)
    spec = ModelSpec("vit", "test", PREPROCESS, outputs, LABELS, "0" * 64, 1)
    rewrites = {name: REWRITES.get(name) for name in REWRITES.names()}
    return module, export_model(TorchModel(spec, module), rewrites), spec


def pytorch_logits(module: torch.nn.Module, jpeg: Path) -> np.ndarray:
    """What the model's publisher would compute: timm's evaluation transform, then the module."""
    transform = create_transform(
        (3, SIZE, SIZE), is_training=False, mean=MEAN, std=STD, crop_pct=CROP, interpolation="bicubic"
    )
    with torch.no_grad():
        return module(transform(Image.open(jpeg).convert("RGB"))[None])[0].numpy()


def logits_and_class(runtime: Runtime, path: Path, jpeg: Path) -> tuple[np.ndarray, str]:
    """By the file's own preprocessing and labels alone."""
    contents = runtime.contents(path)
    assert contents.preprocess is not None
    pixels = to_pixels(Image.open(jpeg), contents.preprocess)
    with runtime.open(path, RunOptions(threads=1)) as runner:
        logits = runner.run(pixels[None])["logits"][0]
    return logits, contents.labels[int(logits.argmax())]


def sqnr(wanted: np.ndarray, found: np.ndarray) -> float:
    """Signal to noise in dB."""
    noise = np.square(wanted.astype(np.float64) - found).sum()
    return float(10 * np.log10(np.square(wanted.astype(np.float64)).sum() / max(noise, 1e-300)))


def replace_bytes(path: Path, old: bytes, new: bytes) -> None:
    """Plant a fault: lengths and offsets in the file stay what they were."""
    content = path.read_bytes()
    assert len(old) == len(new) and content.count(old) == 1
    path.write_bytes(content.replace(old, new))


def swap_colors_in_json(path: Path) -> None:
    replace_bytes(path, b'"color": "rgb"', b'"color": "bgr"')


def change_mean_in_json(path: Path) -> None:
    old, new = (", ".join(map(str, mean)).encode() for mean in (MEAN, WRONG_MEAN))
    replace_bytes(path, old, new)


def assert_only_the_right_file_agrees(
    module: torch.nn.Module,
    right: Path,
    runtime: Runtime,
    swap_colors: Callable[[Path], None],
    change_mean: Callable[[Path], None],
    photographs: tuple[Path, ...],
) -> None:
    """The two faults are planted in copies of the file `right`."""
    swapped, shifted = _copy(right, "swapped"), _copy(right, "shifted")
    swap_colors(swapped)
    change_mean(shifted)
    for jpeg in photographs:
        wanted = pytorch_logits(module, jpeg)
        logits, label = logits_and_class(runtime, right, jpeg)
        assert sqnr(wanted, logits) >= 40
        assert label == LABELS[int(wanted.argmax())]
        assert sqnr(wanted, logits_and_class(runtime, swapped, jpeg)[0]) < 20
        assert sqnr(wanted, logits_and_class(runtime, shifted, jpeg)[0]) < 20


def _copy(path: Path, name: str) -> Path:
    copied = path.with_stem(name)
    return Path(shutil.copytree(path, copied) if path.is_dir() else shutil.copy(path, copied))
