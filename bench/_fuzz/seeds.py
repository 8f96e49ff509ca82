"""One valid file of each kind, small, made by the libraries that write such files and by edgevit itself."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

NETS = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 16, 8, 8), nn.LayerNorm(16)
        self.layers = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 16))
        self.head = nn.Linear(16, 3)

    def forward(self, image):
        value = self.norm(self.stem(image).flatten(2).transpose(1, 2))
        return self.head(self.layers(value).mean(1))
"""
PREPROCESS = {"mean": "0.5,0.5,0.5", "std": "0.25,0.25,0.25"}
_ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def make(place: Path) -> None:
    """Write all of them to the new folder `place`; takes a few minutes, most of it for the converted files."""
    place.mkdir(parents=True)
    samples(place)
    texts(place)
    _bundle(place)
    _models(place)
    if importlib.util.find_spec("keras") is not None:
        _keras(place)


def samples(place: Path) -> None:
    """image.png, images/ with every format of Pillow's, images.npz, images.npy, flat/ with a table."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (16, 16, 16, 3), np.uint8)
    np.savez(place / "images.npz", images=pixels, labels=np.arange(16) % 3)
    np.save(place / "images.npy", pixels)
    (place / "images").mkdir()
    (place / "flat").mkdir()
    (place / "flat" / "metadata.csv").write_text("file_name,label\na.png,2\nb.png,0\n")
    names = (f"images/{name}" for name in ("a.png", "b.jpg", "c.webp", "d.bmp", "e.gif", "f.tif", "g.avif"))
    for name in ("image.png", "flat/a.png", "flat/b.png", *names):
        Image.fromarray(random.integers(0, 256, (20, 24, 3), np.uint8)).save(place / name)


def texts(place: Path) -> None:
    """Labels in four forms, and recipe.toml."""
    (place / "labels.json").write_text('{"0": ["n02123045", "tabby"], "1": ["n02084071", "dog"]}')
    (place / "labels.csv").write_text('id,name\n1,"dog, hound"\n0,cat\n')
    (place / "labels.yaml").write_text("nc: 2\nnames:\n  0: cat\n  1: dog\n")
    (place / "labels.txt").write_text("cat\ndog, hound\nvis à vis\n")
    (place / "recipe.toml").write_text(
        'model = "demo"\nto = ["onnx", "tflite"]\nprecision = "fp16,w8a8"\nimage-size = [192, 256]\n'
        'preprocess = { mean = [0.5, 0.5, 0.5], color = "bgr" }\nmax-drop = 1.5\nseed = 7\nprune = { mlp = 0.25 }\n'
        "[option]\nonnx = { opset = 20 }\n"
    )


def _bundle(place: Path) -> None:
    """What edgevit writes: converted files, plan, manifest, report, and the graph that the plan is for."""
    import onnx

    (place / "nets.py").write_text(NETS)
    given = ("--image-size", "16", "--random-weights", "0", "--labels", place / "labels.txt")
    given += tuple(text for key, value in PREPROCESS.items() for text in ("--preprocess", f"{key}={value}"))
    sets = ("--calibrate", place / "images.npz", "--evaluate", place / "images.npz")
    wanted = ("--precision", "fp32,w8a8", "--to", "onnx,tflite,coreml", "-o", place / "bundle", "-q")
    command = [
        sys.executable,
        "-m",
        "edgevit",
        "convert",
        f"python:{place / 'nets.py'}:Net",
        *given,
        *sets,
        *wanted,
    ]
    subprocess.run([*map(str, command)], env=_ENVIRONMENT, check=False, stdout=subprocess.DEVNULL)
    bundle = place / "bundle"
    for suffix in ("onnx", "tflite"):
        shutil.copy(bundle / f"{suffix}/fp32/model.{suffix}", place / f"plain.{suffix}")
        shutil.copy(bundle / f"{suffix}/w8a8/model.{suffix}", place / f"w8a8.{suffix}")
    shutil.copytree(bundle / "coreml/w8a8/model.mlpackage", place / "model.mlpackage")
    external = onnx.load(place / "plain.onnx")
    onnx.save(
        external,
        place / "external.onnx",
        save_as_external_data=True,
        location="external.data",
        size_threshold=512,
    )
    (place / "plan").mkdir()
    for name in ("plan.json", "plan.safetensors"):
        shutil.copy(bundle / name, place / "plan" / name)
    _settings(place)
    shutil.copy(bundle / "report.json", place / "report.json")
    _graph(place)


def _settings(place: Path) -> None:
    """The plan as one of the demo: a plan alone runs no code, and needs what it was made with where it was."""
    shutil.copytree(place / "plan", place / "settings")
    document = json.loads((place / "plan" / "plan.json").read_text())
    kept = document["made_with"]["settings"]
    del kept["labels"], kept["random_weights"]
    kept |= dict.fromkeys(("model", "calibrate", "evaluate"), "demo")
    (place / "settings" / "plan.json").write_text(json.dumps(document, indent=1))


def _graph(place: Path) -> None:
    from edgevit.core.plugins import LoadRequest
    from edgevit.graph.export import export_model
    from edgevit.program import graph_file
    from edgevit.registries import REWRITES, SOURCES

    argument = f"{place / 'nets.py'}:Net"
    asked = LoadRequest(
        f"python:{argument}", argument, random_weights=0, image_size=(16, 16), preprocess=PREPROCESS
    )
    model = SOURCES.get("python").load(asked)
    graph_file.save(
        export_model(model, {name: REWRITES.get(name) for name in REWRITES.names()}, ()), place / "graph.pt2"
    )


def _models(place: Path) -> None:
    """A program, weights in three formats, a folder of Hugging Face."""
    import timm
    import torch
    from safetensors.torch import save_file
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    torch.manual_seed(0)
    names: dict[str, type[torch.nn.Module]] = {}
    exec(NETS, names)
    torch.export.save(
        torch.export.export(names["Net"]().eval(), (torch.zeros(1, 3, 16, 16),)), place / "program.pt2"
    )
    small = {"depth": 1, "embed_dim": 16, "num_heads": 2, "num_classes": 3, "img_size": 32}
    model = timm.create_model("vit_tiny_patch16_224", **small)
    save_file(model.state_dict(), place / "weights.safetensors")
    torch.save(model.state_dict(), place / "weights.pth")
    _checkpoints(model.state_dict(), place)
    _jax(place / "weights.npz")
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        num_labels=3,
    )
    ViTForImageClassification(config).save_pretrained(place / "hf")
    ViTForImageClassification(config).save_pretrained(place / "hf-parts", max_shard_size="20KB")
    for name in ("hf", "hf-parts"):
        ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(place / name)


def _checkpoints(state: Mapping[str, torch.Tensor], place: Path) -> None:
    """model_best.pth.tar as timm's training writes it, and parts/ with two files and their index."""
    import numpy as np
    import torch

    wrapped = {f"module._orig_mod.{name}": value for name, value in state.items()}
    beside = {
        "args": argparse.Namespace(lr=1e-3, data=Path("photos")),
        "metric": np.float64(91.5),
        "arch": "vit",
    }
    optimizer = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"params": [0]}]}
    whole = {
        "epoch": 3,
        "state_dict": wrapped,
        "state_dict_ema": dict(state),
        "optimizer": optimizer,
        **beside,
    }
    torch.save(whole, place / "model_best.pth.tar")
    (place / "parts").mkdir()
    names, places = list(state), {}
    for number, held in enumerate((names[::2], names[1::2]), start=1):
        file = f"pytorch_model-{number:05}-of-00002.bin"
        torch.save({name: state[name] for name in held}, place / "parts" / file)
        places |= dict.fromkeys(held, file)
    (place / "parts" / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": places}))


def _jax(path: Path) -> None:
    """Google's names for the model above."""
    import numpy as np

    random = np.random.default_rng(0)
    shapes = {
        "embedding/kernel": (16, 16, 3, 16),
        "embedding/bias": (16,),
        "cls": (1, 1, 16),
        "head/kernel": (16, 3),
        "head/bias": (3,),
        "Transformer/posembed_input/pos_embedding": (1, 5, 16),
        "Transformer/encoder_norm/scale": (16,),
        "Transformer/encoder_norm/bias": (16,),
    }
    block = "Transformer/encoderblock_0/"
    for norm in ("LayerNorm_0", "LayerNorm_2"):
        shapes |= {f"{block}{norm}/{name}": (16,) for name in ("scale", "bias")}
    for name in ("query", "key", "value"):
        shapes[f"{block}MultiHeadDotProductAttention_1/{name}/kernel"] = (16, 2, 8)
        shapes[f"{block}MultiHeadDotProductAttention_1/{name}/bias"] = (2, 8)
    shapes[f"{block}MultiHeadDotProductAttention_1/out/kernel"] = (2, 8, 16)
    shapes[f"{block}MultiHeadDotProductAttention_1/out/bias"] = (16,)
    for name, (rows, columns) in {"Dense_0": (16, 64), "Dense_1": (64, 16)}.items():
        shapes[f"{block}MlpBlock_3/{name}/kernel"] = (rows, columns)
        shapes[f"{block}MlpBlock_3/{name}/bias"] = (columns,)
    np.savez(path, **{name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()})


def _keras(place: Path) -> None:
    code = (
        "import keras, sys\n"
        "inner = [keras.layers.Conv2D(8, 8, 8), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]\n"
        "keras.Sequential([keras.Input((16, 16, 3)), *inner]).save(sys.argv[1])\n"
    )
    path = place / "model.keras"
    subprocess.run(
        [sys.executable, "-c", code, path], env={**_ENVIRONMENT, "KERAS_BACKEND": "torch"}, check=True
    )
