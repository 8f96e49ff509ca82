"""Checkpoints as training scripts write them, through the command line: the right weights, told, or a way out."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests._command import edgevit
from tests.edgevit import _colours

State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The net, PyTorch's file of the trained one, and eight images of each colour with their classes."""
    folder = tmp_path_factory.mktemp("checkpoints")
    _colours.write(folder)
    colours = np.array(list(_colours.COLOURS.values()))
    noise = np.random.default_rng(0).normal(0, 20, (32, 16, 16, 3))
    labels = np.arange(32) % 4
    pixels = (colours[labels][:, None, None] + noise).clip(0, 255).astype(np.uint8)
    np.savez(folder / "images.npz", images=pixels, labels=labels)
    return folder


def named(state: State, prefix: str) -> State:
    return {prefix + name: value for name, value in state.items()}


def lightning(folder: Path, own: State, other: State) -> Path:
    """A compiled net inside a LightningModule that also holds the weights of its loss."""
    torch.save(
        {
            "state_dict": {**named(own, "model._orig_mod."), "criterion.weight": torch.ones(4)},
            "hyper_parameters": Namespace(lr=0.1, data=Path("data")),
            "pytorch-lightning_version": "2.4.0",
        },
        folder / "last.ckpt",
    )
    return folder / "last.ckpt"


def average(folder: Path, own: State, other: State) -> Path:
    """timm's train.py under DDP, with a moving average."""
    best = {"state_dict": named(other, "module."), "state_dict_ema": named(own, "module."), "epoch": 3}
    torch.save({**best, "arch": "vit", "args": Namespace(lr=0.1)}, folder / "model_best.pth.tar")
    return folder / "model_best.pth.tar"


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (lightning, ("state_dict in last.ckpt, names without model. and _orig_mod.", "criterion")),
        (average, ("state_dict_ema in model_best.pth.tar, a moving average (EMA)", "--weights-key state_dict")),
    ],
)  # fmt: skip
def test_what_a_training_script_wrote_has_the_accuracy_that_it_was_trained_to(
    write: Callable[[Path, State, State], Path], told: tuple[str, ...], place: Path
) -> None:
    """Against PyTorch's own file of the trained net, which knows nothing of the checkpoint."""
    states: list[Any] = [_colours.module(trained).state_dict() for trained in (True, False)]
    report = _colours.validated(place, write(place, *states), "--evaluate", place / "images.npz")
    (found,) = report["artifacts"]
    assert report["reference"]["top1"] == 100 and found["verdict"] == "pass"
    assert found["total"]["sqnr_db"] > 80
    text = " ".join((report["model"]["weights_origin"], *report["warnings"], *report["notes"]))
    assert [words for words in told if words not in text] == [], text


def script(path: Path) -> None:
    torch.jit.save(torch.jit.trace(_colours.module(), torch.zeros(1, 3, 16, 16)), str(path))


def adapter(path: Path) -> None:
    save_file({"base_model.model.head.lora_A.weight": torch.ones(2, 3)}, path)


def whole(path: Path) -> None:
    torch.save({"model": torch.nn.Linear(2, 2), "epoch": 1}, path)


def five_classes(path: Path) -> None:
    state = {**_colours.module().state_dict(), "head.weight": torch.ones(5, 3), "head.bias": torch.ones(5)}
    torch.save({"state_dict": named(state, "module.")}, path)


@pytest.mark.parametrize(
    ("name", "write", "words"),
    [
        ("model.pt", script, ("TorchScript", "state_dict")),
        ("adapter.safetensors", adapter, ("LoRA adapter", "merge_and_unload")),
        ("model.pth", whole, ("a whole pickled module", "torch.save(model.state_dict()")),
        ("best.pth", five_classes, ("fit but for the classifier", "5 classes", "--num-classes 5")),
    ],
)
def test_what_cannot_be_loaded_says_what_it_is_and_the_way_out(
    name: str, write: Callable[[Path], None], words: tuple[str, ...], place: Path
) -> None:
    write(place / name)
    done = edgevit("inspect", *_colours.model(place), "--weights", place / name)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr and name in done.stderr
    assert [word for word in words if word not in done.stderr] == [], done.stderr
