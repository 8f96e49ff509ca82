"""Models from every source, through the command line: what they bring, and what is refused instead of guessed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from edgevit.core.pixels import normalise
from edgevit.core.types import Preprocess
from tests._command import edgevit

NETS = """
import torch

class Net(torch.nn.Module):
    def __init__(self, training=False):
        super().__init__()
        self.stem, self.head = torch.nn.Conv2d(3, 8, 8, 8), torch.nn.Linear(8, 3)
        self.always = training

    def forward(self, image):
        pooled = self.stem(image).mean((2, 3))
        return self.head(torch.nn.functional.dropout(pooled, 0.5, training=self.always))
"""


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nets") / "nets.py"
    path.write_text(NETS)
    return path


def test_a_checkpoint_without_a_processor_has_the_accuracy_that_it_was_trained_to(tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    config = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
                       image_size=32, patch_size=8, num_labels=10)  # fmt: skip
    theirs = ViTForImageClassification(config).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 4, 4, 3), np.uint8).repeat(8, 1).repeat(8, 2)

    def logits(preprocess: Preprocess) -> torch.Tensor:
        with torch.no_grad():
            return theirs(torch.from_numpy(normalise(pixels, preprocess))).logits

    own = Preprocess(32, 32, (32, 32), mean=(0.5,) * 3, std=(0.5,) * 3)
    theirs.classifier.bias.data -= logits(own).mean(0)  # else one class wins everywhere
    theirs.save_pretrained(tmp_path / "vit")
    # The model's own answers, with ViT's mean and std of 0.5, are the labels; ImageNet's values lose some.
    labels = logits(own).argmax(1)
    assert float((logits(Preprocess(32, 32, (32, 32))).argmax(1) == labels).float().mean()) < 0.9
    np.savez(tmp_path / "images.npz", images=pixels, labels=labels.numpy())
    made = ("convert", f"hf:{tmp_path / 'vit'}", "--to", "onnx", "--precision", "fp32", "--json")
    done = edgevit(*made, "--evaluate", tmp_path / "images.npz", "-o", tmp_path / "out")
    report = json.loads(done.stdout)
    assert report["reference"]["top1"] == 100, done.stderr
    assert report["model"]["preprocess_origin"].startswith(
        "the usual values of vit models (ViTImageProcessor)"
    )


def test_a_module_that_states_no_preprocessing_stops_before_any_work(nets: Path) -> None:
    asked = ("convert", f"python:{nets}:Net", "--image-size", "32", "--to", "onnx", "-o", nets.parent / "out")
    done = edgevit(*asked)
    assert done.returncode == 2 and "nothing says how images are prepared for python:" in done.stderr
    assert "--preprocess normalize=imagenet" in done.stderr and not (nets.parent / "out").exists()


def test_a_model_that_is_random_in_eval_mode_is_refused(nets: Path) -> None:
    done = edgevit("inspect", f"python:{nets}:Net", "--image-size", "32", "--model-arg", "training=True")
    assert done.returncode == 2 and "is random in eval mode" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_script_gets_its_defaults_and_a_factory_its_arguments(nets: Path) -> None:
    """Its own output stays out of the JSON, and edgevit's arguments out of its parser."""
    script = nets.parent / "train.py"
    script.write_text(
        "import argparse\nfrom nets import Net\nprint('loading')\nparser = argparse.ArgumentParser()\n"
        "parser.add_argument('--epochs', default=3)\nepochs = parser.parse_args().epochs\n"
        "def build(classes, dims=()):\n    assert (epochs, classes, dims) == (3, 3, [8, 9])\n    return Net()\n"
    )
    asked = ("inspect", f"python:{script}:build", "--image-size", "32", "--json")
    done = edgevit(*asked, "--model-arg", "classes=3", "--model-arg", "dims=[8, 9]")
    assert json.loads(done.stdout)["outputs"][0]["shape"] == [1, 3], done.stderr


def test_a_folder_of_timm_brings_its_names_and_preprocessing(tmp_path: Path) -> None:
    import timm

    net = timm.create_model(
        "vit_tiny_patch16_224", depth=1, embed_dim=24, num_heads=2, img_size=32, num_classes=3
    )
    stated = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "crop_pct": 0.8, "interpolation": "bilinear"}
    timm.models.save_for_hf(
        net, tmp_path / "pets", model_config={"label_names": ["cat", "dog", "fox"], "pretrained_cfg": stated}
    )
    done = edgevit("inspect", f"hf:{tmp_path / 'pets'}", "--json")
    told = json.loads(done.stdout)
    assert told["labels"] == ["cat", "dog", "fox"], done.stderr
    assert told["parameters"] == sum(value.numel() for value in net.parameters())
    assert (told["preprocess"]["mean"], told["preprocess"]["resize"]) == ([0.1, 0.2, 0.3], [40, 40])
