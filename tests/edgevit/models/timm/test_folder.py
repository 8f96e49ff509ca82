"""Folders of timm's `save_for_hf`: through `timm:local-dir:`, `hf:` and the hub's cache, against timm's own loading."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.models import save_for_hf

from edgevit.core.errors import InputError, UsageError
from edgevit.core.plugins import LoadRequest
from edgevit.core.settings.model_text import parse_source
from edgevit.core.types import TorchModel
from edgevit.registries import SOURCES
from edgevit.steps.resolve import short_name

IMAGE = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
NAMES = ["cat", "dog", "fox"]


def load(text: str, **options: Any) -> TorchModel:
    source, argument = parse_source(text)
    return SOURCES.get(source).load(LoadRequest(text, argument, **options))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module]:
    """A fine-tuned model with its own size, statistics and names."""
    folder = tmp_path_factory.mktemp("timm") / "pets"
    torch.manual_seed(0)
    net = timm.create_model(
        "vit_tiny_patch16_224", depth=1, embed_dim=24, num_heads=2, img_size=32, num_classes=3
    )
    config = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "crop_pct": 0.8, "interpolation": "bilinear"}
    save_for_hf(net.eval(), folder, model_config={"label_names": NAMES, "pretrained_cfg": config})
    return folder, net


@pytest.mark.parametrize("form", ["timm:local-dir:{}", "hf:{}"])
def test_a_saved_folder_knows_everything_of_its_model(form: str, saved: tuple[Path, torch.nn.Module]) -> None:
    folder, net = saved
    model = load(form.format(folder))
    with torch.no_grad():
        torch.testing.assert_close(model.module(IMAGE), net(IMAGE), rtol=0, atol=0)
    spec = model.spec
    assert (spec.labels, spec.name, spec.warnings) == (("cat", "dog", "fox"), "pets", ())
    assert spec.preprocess_origin == "pretrained_cfg in config.json (timm)"
    p = spec.preprocess
    assert ((p.height, p.width), p.resize, p.interpolation) == ((32, 32), (40, 40), "bilinear")
    assert (p.mean, p.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def changed(folder: Path, to: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    shutil.copytree(folder, to)
    data = json.loads((to / "config.json").read_text())
    change(data)
    (to / "config.json").write_text(json.dumps(data))
    return to


def flatten(data: dict[str, Any]) -> None:
    """As timm before 0.9 wrote it."""
    data.update(data.pop("pretrained_cfg"), labels=data.pop("label_names"))


def synsets(data: dict[str, Any]) -> None:
    data["label_names"] = ["n02123045", "n02084071", "n02119789"]
    data["label_descriptions"] = {"n02123045": "cat", "n02084071": "dog", "n02119789": "fox", "n0": "cow"}


@pytest.mark.parametrize(
    "change",
    [
        flatten,
        synsets,
        lambda data: data.update(label_names={str(i): name for i, name in enumerate(NAMES)}),
        lambda data: data["pretrained_cfg"].update(field_of_a_later_timm=1),
        lambda data: data["model_args"].update(pretrained=True, checkpoint_path="elsewhere.pth"),
    ],
)
def test_every_way_in_which_timm_wrote_it_is_read(
    change: Callable[[dict[str, Any]], object], saved: tuple[Path, torch.nn.Module], tmp_path: Path
) -> None:
    folder, net = saved
    model = load(f"timm:local-dir:{changed(folder, tmp_path / 'x', change)}")
    assert model.spec.labels == ("cat", "dog", "fox") and model.spec.preprocess.mean == (0.1, 0.2, 0.3)
    with torch.no_grad():
        torch.testing.assert_close(model.module(IMAGE), net(IMAGE), rtol=0, atol=0)


def test_flags_change_what_the_folder_says(saved: tuple[Path, torch.nn.Module]) -> None:
    text = f"timm:local-dir:{saved[0]}"
    other = load(text, num_classes=5, random_weights=1, image_size=(48, 32), model_args={"depth": "2"})
    assert other.spec.outputs[0].shape == (1, 5) and other.spec.labels == ()
    assert other.spec.preprocess.height == 48 and len(other.module.blocks) == 2  # type: ignore[arg-type]
    assert load(text, num_classes=0).spec.outputs[0].name == "features"
    with pytest.raises(InputError, match=r"classifier in .*pytorch_model\.bin has 3 classes.* asks for 5"):
        load(text, num_classes=5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda data: data.update(architecture="vit_tiny_patch17_224"),
            "timm has no model 'vit_tiny_patch17",
        ),
        (lambda data: data.update(pretrained_cfg=[]), "is not one of timm"),
        (lambda data: data.update(label_names={"0": "cat", "7": "dog"}), "does not name every class"),
        (lambda data: data["pretrained_cfg"].update(mean="grey"), "pretrained_cfg in config.json"),
        (lambda data: data["model_args"].update(nonsense=1), "timm cannot make vit_tiny_patch16_224 with"),
    ],
)
def test_a_folder_that_makes_no_sense_is_told(
    change: Callable[[dict[str, Any]], object],
    words: str,
    saved: tuple[Path, torch.nn.Module],
    tmp_path: Path,
) -> None:
    folder = changed(saved[0], tmp_path / "x", change)
    with pytest.raises((InputError, UsageError), match=words):
        load(f"timm:local-dir:{folder}")


def test_missing_parts_and_wrong_forms_say_what_is_looked_for(
    saved: tuple[Path, torch.nn.Module], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"local-dir:.*empty holds no config\.json"):
        load(f"timm:local-dir:{tmp_path / 'empty'}")
    with pytest.raises(InputError, match="is not a folder"):
        load(f"timm:local-dir:{tmp_path / 'none'}")
    shutil.copy(saved[0] / "config.json", tmp_path / "empty")
    with pytest.raises(InputError, match=r"holds none of model\.safetensors"):
        load(f"timm:local-dir:{tmp_path / 'empty'}")
    for text in ("timm:local:x", "timm:hf-hub:"):
        with pytest.raises(UsageError, match="is no model of timm") as told:
            load(text)
        assert "timm:local-dir:DIR" in told.value.hint


def cached(folder: Path, cache: Path) -> Path:
    """As huggingface_hub keeps OWNER/pets: files in blobs, a snapshot of links, the branch in refs."""
    place = cache / "models--owner--pets"
    snapshot = place / "snapshots" / "0123abc"
    for part in (snapshot, place / "blobs", place / "refs"):
        part.mkdir(parents=True)
    for file in folder.iterdir():
        shutil.copy(file, place / "blobs" / file.name)
        (snapshot / file.name).symlink_to(Path("../../blobs") / file.name)
    (place / "refs" / "main").write_text("0123abc")
    return place


def test_the_hub_s_cache_needs_no_network(
    saved: tuple[Path, torch.nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants as hub

    place = cached(saved[0], tmp_path)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    forms = ("timm:hf-hub:owner/pets", "timm:hf-hub:owner/pets@main", f"hf:{place}", f"timm:local-dir:{place}",
             f"hf:{place}/snapshots/0123abc")  # fmt: skip
    for text in forms:
        model = load(text)
        with torch.no_grad():
            torch.testing.assert_close(model.module(IMAGE), saved[1](IMAGE), rtol=0, atol=0)
        assert model.spec.labels == ("cat", "dog", "fox"), text
    with pytest.raises(InputError, match=r"config\.json of owner/dogs is neither in the local cache") as told:
        load("timm:hf-hub:owner/dogs")
    assert str(tmp_path) in told.value.message and "offline mode is set" in told.value.message
    assert "hf download" in told.value.hint and "timm:local-dir:DIR" in told.value.hint


def test_a_bundle_is_named_after_the_folder_or_repository() -> None:
    assert short_name("timm", "local-dir:models/pets") == short_name("timm", "hf-hub:owner/pets") == "pets"
    assert short_name("timm", "local-dir:pets/") == "pets"
