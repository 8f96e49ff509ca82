"""Checkpoints of models of timm, torchvision and transformers: publishers' names behind prefixes, replaced heads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

from edgevit.core.errors import InputError, UsageError
from edgevit.core.plugins import LoadRequest
from edgevit.core.types import TorchModel
from edgevit.registries import SOURCES
from tests._command import edgevit

IMAGE = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(3))
VIT = {"depth": 1, "embed_dim": 16, "num_heads": 2, "img_size": 32}
SMALL = {"image_size": (32, 32), "model_args": {"depth": "1", "embed_dim": "16", "num_heads": "2"}}


def load(source: str, weights: Path, **settings: Any) -> TorchModel:
    word, _, argument = source.partition(":")
    return SOURCES.get(word).load(LoadRequest(source=source, argument=argument, weights=weights, **settings))


def outputs(module: nn.Module, image: torch.Tensor = IMAGE) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = module.eval()(image)
    return found


def vit(seed: int, classes: int = 37) -> nn.Module:
    torch.manual_seed(seed)
    made: nn.Module = timm.create_model("vit_tiny_patch16_224", num_classes=classes, **VIT)
    return made.eval()


def prefixed(prefix: str, state: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + name: value for name, value in state.items()}


def test_a_replaced_head_behind_a_prefix_makes_the_model_s(tmp_path: Path) -> None:
    net = vit(1)
    torch.save({"state_dict": prefixed("model._orig_mod.", net.state_dict())}, tmp_path / "w.ckpt")
    model = load("timm:vit_tiny_patch16_224", tmp_path / "w.ckpt", **SMALL)
    assert torch.equal(outputs(model.module), outputs(net))
    assert model.spec.weights_origin == "state_dict in w.ckpt, names without model. and _orig_mod."
    assert any("37 classes" in text for text in model.spec.warnings)
    with pytest.raises(InputError, match="37 classes, --num-classes asks for 10") as raised:
        load("timm:vit_tiny_patch16_224", tmp_path / "w.ckpt", num_classes=10, **SMALL)
    assert "--num-classes 37" in raised.value.hint


def test_dino_s_teacher_gives_the_features(tmp_path: Path) -> None:
    student, teacher = vit(1, 0), vit(2, 0)
    torch.save(
        {
            "student": {**prefixed("module.backbone.", student.state_dict()), "module.head.w": torch.ones(3)},
            "teacher": {
                **prefixed("backbone.", teacher.state_dict()),
                "head.mlp.0.weight": torch.ones(3, 16),
            },
            "dino_loss": {"center": torch.zeros(1, 3)},
        },
        tmp_path / "checkpoint.pth",
    )
    for key, net in ((None, teacher), ("student", student)):
        model = load(
            "timm:vit_tiny_patch16_224", tmp_path / "checkpoint.pth", num_classes=0, weights_key=key, **SMALL
        )
        assert torch.equal(outputs(model.module), outputs(net))
        assert any("head" in text for text in model.spec.warnings)
    with pytest.raises(InputError, match=r"fit but for the classifier") as raised:
        load("timm:vit_tiny_patch16_224", tmp_path / "checkpoint.pth", **SMALL)
    assert "--num-classes 0" in raised.value.hint or "python:" in raised.value.hint


def test_a_head_is_left_out_where_none_was_asked_for(tmp_path: Path) -> None:
    net = vit(1)
    torch.save(prefixed("module.", net.state_dict()), tmp_path / "w.pth")
    model = load("timm:vit_tiny_patch16_224", tmp_path / "w.pth", num_classes=0, **SMALL)
    net.head = nn.Identity()
    assert torch.equal(outputs(model.module), outputs(net))
    assert any("head.weight" in text for text in model.spec.warnings)


def test_a_publisher_s_names_behind_a_prefix_are_renamed(tmp_path: Path) -> None:
    """ConvNeXt as its authors call the layers, which timm renames; twice in one file, as in training with EMA."""
    small = {"depths": (1, 1, 1, 1), "dims": (8, 8, 8, 8), "num_classes": 3}
    nets = [timm.create_model("convnext_atto", **small).eval() for _ in range(2)]
    theirs = [{_facebook(name): value for name, value in net.state_dict().items()} for net in nets]
    torch.save({"model": prefixed("module.", theirs[0]), "model_ema": theirs[1]}, tmp_path / "w.pth")
    arguments = {"depths": "(1,1,1,1)", "dims": "(8,8,8,8)"}
    image = torch.randn(1, 3, 64, 64)
    for key, net in ((None, nets[1]), ("model", nets[0])):
        model = load("timm:convnext_atto", tmp_path / "w.pth", model_args=arguments, weights_key=key)
        assert torch.equal(outputs(model.module, image), outputs(net, image))


def _facebook(name: str) -> str:
    if name.startswith("stem."):
        return "downsample_layers.0." + name.removeprefix("stem.")
    parts = name.split(".")
    if parts[0] == "stages" and parts[2] == "downsample":
        return f"downsample_layers.{parts[1]}.{'.'.join(parts[3:])}"
    if parts[0] == "stages":
        inner = ".".join(parts[4:]).replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv")
        return f"stages.{parts[1]}.{parts[3]}.{inner}"
    return name.replace("head.norm", "norm").replace("head.fc", "head")


@pytest.mark.parametrize("head", ["heads", "heads.head"])
def test_torchvision_s_head_replaced_as_a_whole_or_inside(tmp_path: Path, head: str) -> None:
    import torchvision

    small = {
        "image_size": 32,
        "patch_size": 16,
        "num_layers": 1,
        "num_heads": 2,
        "hidden_dim": 16,
        "mlp_dim": 32,
    }
    net = torchvision.models.VisionTransformer(**small)
    net.set_submodule(head, nn.Linear(16, 37))
    torch.save({"model": prefixed("module.", net.state_dict())}, tmp_path / "w.pth")
    (tmp_path / "nets.py").write_text(
        "import torchvision\ndef vit(num_classes=1000):\n"
        f"    return torchvision.models.VisionTransformer(num_classes=num_classes, **{small!r})\n"
    )
    stated = {"mean": "0.5", "std": "0.5"}
    model = load(
        f"python:{tmp_path / 'nets.py'}:vit", tmp_path / "w.pth", image_size=(32, 32), preprocess=stated
    )
    assert torch.equal(outputs(model.module), outputs(net))


def test_a_head_with_more_in_it_is_not_taken_for_a_layer(tmp_path: Path) -> None:
    net = vit(1)
    net.head = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 37))
    torch.save(net.state_dict(), tmp_path / "w.pth")
    with pytest.raises(
        InputError, match="fit but for the classifier: the file has another one for 37 classes"
    ) as raised:
        load("timm:vit_tiny_patch16_224", tmp_path / "w.pth", **SMALL)
    assert "python:FILE:FACTORY" in raised.value.hint


@pytest.fixture(scope="module")
def hf_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    folder = tmp_path_factory.mktemp("hf")
    config = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=32,
                       patch_size=16, num_labels=3)  # fmt: skip
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("older", [False, True])
def test_transformers_weights_behind_a_prefix(hf_folder: Path, tmp_path: Path, older: bool) -> None:
    """Under the names of the module, as Lightning saves them, and under those of the file that was published."""
    from safetensors.torch import load_file
    from transformers import ViTForImageClassification

    nets = [ViTForImageClassification.from_pretrained(hf_folder) for _ in range(2)]
    for net in nets:
        for parameter in net.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    states = []
    for index, net in enumerate(nets):
        net.save_pretrained(tmp_path / str(index))
        states.append(load_file(tmp_path / str(index) / "model.safetensors") if older else net.state_dict())
    both = {
        **prefixed("model.", states[0]),
        **prefixed("ema_model.module.", states[1]),
        "criterion.w": torch.ones(3),
    }
    torch.save({"state_dict": both}, tmp_path / "w.ckpt")
    for key, net in ((None, nets[1]), ("model", nets[0])):
        model = load(f"hf:{hf_folder}", tmp_path / "w.ckpt", weights_key=key)
        assert torch.equal(outputs(model.module), net.eval()(pixel_values=IMAGE).logits)
        assert "state_dict in w.ckpt" in model.spec.weights_origin
    with pytest.raises(UsageError, match="--weights-key nothing"):
        load(f"hf:{hf_folder}", tmp_path / "w.ckpt", weights_key="nothing")


def test_the_command_says_which_weights_it_took(tmp_path: Path) -> None:
    states = [prefixed("module.", vit(seed).state_dict()) for seed in (1, 2)]
    path = tmp_path / "model_best.pth.tar"
    torch.save({"state_dict": states[0], "state_dict_ema": states[1], "arch": "vit", "epoch": 3}, path)
    arguments = [
        part for key, value in SMALL["model_args"].items() for part in ("--model-arg", f"{key}={value}")
    ]
    command = ("inspect", "timm:vit_tiny_patch16_224", "--image-size", "32", *arguments, "--weights", path)
    told = json.loads(edgevit(*command, "--json").stdout)
    assert told["weights_origin"].startswith("state_dict_ema in model_best.pth.tar, a moving average (EMA)")
    assert any("to take another: --weights-key state_dict" in text for text in told["warnings"])


def test_a_folder_of_an_adapter_is_told(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="LoRA adapter") as raised:
        SOURCES.get("hf").load(LoadRequest(source=f"hf:{tmp_path}", argument=str(tmp_path)))
    assert "merge_and_unload" in raised.value.hint
