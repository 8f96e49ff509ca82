"""The number of classes comes from labels or weights where they leave no doubt; else the error names both."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from edgevit.core.errors import InputError, UsageError
from edgevit.core.plugins import LoadRequest
from edgevit.core.types import TorchModel
from edgevit.models._checkpoint.classes import settle, stored_classes
from edgevit.registries import SOURCES

FIVE = tuple("abcde")


def load(source: str, **settings: Any) -> TorchModel:
    word, _, argument = source.partition(":")
    return SOURCES.get(word).load(LoadRequest(source=source, argument=argument, **settings))


def request(**settings: Any) -> LoadRequest:
    return LoadRequest(source="timm:x", argument="x", **settings)


@pytest.mark.parametrize(
    ("settings", "own", "stored", "number", "told"),
    [
        ({}, 1000, None, 1000, False),
        ({"weights": Path("w")}, 1000, 37, 37, True),
        ({"weights": Path("w"), "labels": FIVE}, 1000, 5, 5, True),
        (
            {"weights": Path("w"), "labels": FIVE},
            1000,
            None,
            5,
            True,
        ),  # a head that was not found is checked later
        ({"random_weights": 0, "labels": FIVE}, 1000, None, 5, True),
        ({"random_weights": 0, "labels": FIVE}, 5, None, 5, False),
        ({"weights": Path("w"), "num_classes": 37}, 37, 37, 37, False),
        ({"weights": Path("w"), "labels": ("no", "yes")}, 1000, 1, 1, True),  # one logit has two names
        ({"weights": Path("w"), "labels": FIVE}, 0, None, 0, False),  # without a head
    ],
)
def test_what_leaves_no_doubt(
    settings: dict[str, Any], own: int, stored: int | None, number: int, told: bool
) -> None:
    found = settle(request(**settings), own, stored, "w")
    assert (found.number, bool(found.notes)) == (number, told)
    assert not told or str(number) in found.notes[0]


@pytest.mark.parametrize(
    ("settings", "own", "stored", "numbers", "hint"),
    [
        ({"weights": Path("w"), "num_classes": 10}, 10, 37, ("37", "10"), "--num-classes 37"),
        ({"weights": Path("w"), "labels": FIVE}, 1000, 37, ("5 labels", "37"), "--num-classes 37"),
        ({"labels": FIVE}, 1000, None, ("5 labels", "1000"), "--num-classes 5"),
    ],
)
def test_what_contradicts_itself(
    settings: dict[str, Any], own: int, stored: int | None, numbers: tuple[str, ...], hint: str
) -> None:
    with pytest.raises(InputError) as raised:
        settle(request(**settings), own, stored, "w")
    assert all(number in raised.value.message for number in numbers) and hint in raised.value.hint


def timm_vit(classes: int, **arguments: Any) -> torch.nn.Module:
    import timm

    module: torch.nn.Module = timm.create_model(
        "vit_tiny_patch16_224", depth=1, img_size=32, num_classes=classes, **arguments
    )
    return module.eval()


SMALL = {"image_size": (32, 32), "model_args": {"depth": "1"}}


def test_timm_takes_the_head_of_the_checkpoint(tmp_path: Path) -> None:
    net = timm_vit(5)
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    model = load("timm:vit_tiny_patch16_224", weights=tmp_path / "w.safetensors", labels=FIVE, **SMALL)
    image = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(model.module(image), net(image))
    assert model.spec.labels == FIVE and any("5 classes" in text for text in model.spec.warnings)
    assert load("timm:vit_tiny_patch16_224", weights=tmp_path / "w.safetensors", **SMALL).spec.labels == ()
    with pytest.raises(InputError, match="has 5 classes, --num-classes asks for 7") as raised:
        load("timm:vit_tiny_patch16_224", weights=tmp_path / "w.safetensors", num_classes=7, **SMALL)
    assert "--num-classes 5" in raised.value.hint
    random = load("timm:vit_tiny_patch16_224", random_weights=0, labels=FIVE, **SMALL)
    assert random.spec.outputs[0].shape == (1, 5)
    with pytest.raises(
        InputError, match="published weights of timm:vit_tiny_patch16_224 have 1000"
    ) as raised:
        load("timm:vit_tiny_patch16_224", labels=FIVE, **SMALL)
    assert "--num-classes 5" in raised.value.hint


def test_torchvision_takes_the_head_of_the_checkpoint(tmp_path: Path) -> None:
    import torchvision

    net = torchvision.models.get_model("mobilenet_v3_small", weights=None, num_classes=5).eval()
    torch.save(net.state_dict(), tmp_path / "w.pth")
    model = load("torchvision:mobilenet_v3_small", weights=tmp_path / "w.pth", image_size=(32, 32))
    image = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(model.module(image), net(image))
    assert model.spec.labels == () and model.spec.warnings


FACTORIES = """
from torch import nn

def open_(num_classes=3):
    return nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.Flatten(), nn.Linear(64, num_classes))

def told(num_classes):
    return open_(num_classes)

def fixed():
    return open_()
"""


def test_a_factory_is_asked_for_other_classes_only_where_it_can_be(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(FACTORIES)
    place = f"python:{tmp_path / 'nets.py'}"
    options: dict[str, Any] = {"image_size": (32, 32), "preprocess": {"mean": "0.5", "std": "0.5"}}
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 8, 8), torch.nn.Flatten(), torch.nn.Linear(64, 5))
    torch.save(net.state_dict(), tmp_path / "w.pth")
    assert load(f"{place}:open_", weights=tmp_path / "w.pth", **options).spec.outputs[0].shape == (1, 5)
    assert load(f"{place}:open_", random_weights=0, labels=FIVE, **options).spec.labels == FIVE
    assert load(f"{place}:told", labels=FIVE, **options).spec.outputs[0].shape == (1, 5)
    with pytest.raises(UsageError, match="has to be told the number of classes") as raised:
        load(f"{place}:told", **options)
    assert "--num-classes N" in raised.value.hint
    with pytest.raises(InputError, match="5 labels, but the model has 3 classes") as wrong:
        load(f"{place}:fixed", random_weights=0, labels=FIVE, **options)
    assert "--num-classes 5" in wrong.value.hint
    with pytest.raises(InputError, match="5 labels, but the model has 3 classes"):
        load(f"{place}:open_", labels=FIVE, **options)  # the factory's own weights have a head of their own


def test_a_jax_checkpoint_says_it_too(tmp_path: Path) -> None:
    from edgevit.models._checkpoint.classes import stored_classes

    np.savez(tmp_path / "w.npz", **{"head/bias": np.zeros(21), "head/kernel": np.zeros((8, 21))})
    assert stored_classes(request(weights=tmp_path / "w.npz"), ("head",)) == 21
    np.savez(tmp_path / "v.npz", other=np.zeros(3))
    assert stored_classes(request(weights=tmp_path / "v.npz"), ("head",)) is None


def test_weights_that_never_end_or_are_damaged_are_told_before_the_model_is_made(tmp_path: Path) -> None:
    pipe, damaged = tmp_path / "pipe.npz", tmp_path / "damaged.npz"
    os.mkfifo(pipe)  # nobody writes into it: opening it would never return
    with pytest.raises(InputError, match="is a pipe, not a file"):
        stored_classes(request(weights=pipe), ())
    np.savez_compressed(damaged, **{"head/bias": np.arange(1000.0)})
    assert stored_classes(request(weights=damaged), ()) == 1000
    content = bytearray(damaged.read_bytes())
    content[60:120] = bytes(60)  # zlib raises an error of its own
    damaged.write_bytes(content)
    with pytest.raises(InputError, match=r"damaged\.npz is damaged"):
        stored_classes(request(weights=damaged), ())
