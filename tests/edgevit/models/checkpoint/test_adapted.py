"""Weights that a library changes on loading are told, and those of another image size only fit if asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from edgevit.core.errors import InputError
from edgevit.core.plugins import LoadRequest
from edgevit.core.settings.model_text import parse_source
from edgevit.core.types import TorchModel
from edgevit.models._checkpoint.adapted import compare
from edgevit.models._checkpoint.resample import fitted, trained_size
from edgevit.models._checkpoint.weights import load_weights
from edgevit.registries import SOURCES

SMALL = {"depth": "1", "embed_dim": "24", "num_heads": "2"}


def load(text: str, **options: object) -> TorchModel:
    source, argument = parse_source(text)
    return SOURCES.get(source).load(LoadRequest(text, argument, **options))  # type: ignore[arg-type]


def by_hand(table: torch.Tensor, prefix: int, old: int, new: int) -> torch.Tensor:
    """Bicubic with antialiasing over the grid, the tokens before it as they are."""
    first, places = table[:, :prefix], table[:, prefix:]
    grid = places.reshape(1, old, old, -1).permute(0, 3, 1, 2)
    grid = torch.nn.functional.interpolate(grid, (new, new), mode="bicubic", antialias=True)
    return torch.cat([first, grid.permute(0, 2, 3, 1).reshape(1, new * new, -1)], 1)


# ------------------------------------------------------------------ one behaviour for all sources


def timm_file(folder: Path) -> Path:
    """A file of timm's ViT that was trained at 384 pixels."""
    module = timm.create_model("vit_tiny_patch16_224", img_size=384, depth=1, embed_dim=24, num_heads=2)
    save_file(module.state_dict(), folder / "w.safetensors")
    return folder / "w.safetensors"


def hf_folder(folder: Path, config_size: int = 64) -> Path:
    """A folder of a ViT that was trained at 64 pixels."""
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
                       image_size=64, patch_size=8, num_labels=3)  # fmt: skip
    ViTForImageClassification(config).save_pretrained(folder)
    config.image_size = config_size
    config.save_pretrained(folder)
    return folder


def test_timm_weights_of_another_size_stop_and_name_both_sizes(tmp_path: Path) -> None:
    path = timm_file(tmp_path)
    with pytest.raises(
        InputError, match="w.safetensors were trained at 384x384 pixels, not at 224x224"
    ) as told:
        load("timm:vit_tiny_patch16_224", weights=path, model_args=SMALL)
    assert "(1, 577, 24) in the file and (1, 197, 24) in the model" in told.value.message
    assert "--image-size 384 to keep" in told.value.hint and "--image-size 224 to resample" in told.value.hint
    kept = load("timm:vit_tiny_patch16_224", weights=path, model_args=SMALL, image_size=(384, 384))
    assert kept.spec.warnings == ()
    asked = load("timm:vit_tiny_patch16_224", weights=path, model_args=SMALL, image_size=(224, 224))
    (warning,) = asked.spec.warnings
    assert "pos_embed from (1, 577, 24) to (1, 197, 24)" in warning and "measure the accuracy" in warning
    expected = by_hand(load_file(path)["pos_embed"], 1, 24, 14)
    torch.testing.assert_close(asked.module.state_dict()["pos_embed"], expected)


def test_hugging_face_weights_of_another_size_behave_the_same(tmp_path: Path) -> None:
    folder = hf_folder(tmp_path / "edited", config_size=32)
    with pytest.raises(InputError, match="were trained at 64x64 pixels, not at 32x32") as told:
        load(f"hf:{folder}")
    assert "--image-size 64 to keep" in told.value.hint
    assert load(f"hf:{folder}", image_size=(64, 64)).spec.warnings == ()
    folder = hf_folder(tmp_path / "whole")
    assert load(f"hf:{folder}").spec.warnings == ()
    model = load(f"hf:{folder}", image_size=(32, 32))
    (warning,) = model.spec.warnings
    name = "embeddings.position_embeddings"
    assert "(1, 65, 16) to (1, 17, 16)" in warning and name in warning
    (given,) = (v for k, v in load_file(folder / "model.safetensors").items() if k.endswith(name))
    (taken,) = (v for k, v in model.module.state_dict().items() if k.endswith(name))
    torch.testing.assert_close(taken, by_hand(given, 1, 8, 4))


def test_tables_under_older_names_and_models_that_adapt_by_themselves(tmp_path: Path) -> None:
    from transformers import (
        BeitConfig,
        BeitForImageClassification,
        Dinov2Config,
        Dinov2ForImageClassification,
    )

    small = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 64,
        "patch_size": 8,
    }
    tables = BeitConfig(**small, intermediate_size=32, use_relative_position_bias=True, num_labels=3)
    beit = BeitForImageClassification(tables)
    for name, parameter in beit.named_parameters():  # they start at 0
        if name.endswith("bias_table"):
            parameter.data.normal_()
    beit.save_pretrained(tmp_path / "beit")
    (told,) = load(f"hf:{tmp_path / 'beit'}", image_size=(32, 32)).spec.warnings
    assert told.count("relative_position_bias_table from (228, 2) to (52, 2)") == 2
    theirs = Dinov2ForImageClassification(Dinov2Config(**small, num_labels=3)).eval()
    theirs.save_pretrained(tmp_path / "dinov2")
    model, image = load(f"hf:{tmp_path / 'dinov2'}", image_size=(32, 32)), torch.randn(1, 3, 32, 32)
    assert model.spec.warnings == ()
    torch.testing.assert_close(model.module(image), theirs(pixel_values=image).logits)


MODULE = """
import torch
class Net(torch.nn.Module):
    def __init__(self, side=4):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 8, 8)
        self.pos_embed = torch.nn.Parameter(torch.randn(1, side * side, 8))
    def forward(self, x):
        return (self.stem(x).flatten(2).transpose(1, 2) + self.pos_embed).mean(1)
"""


def test_a_module_of_one_s_own_behaves_the_same(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(MODULE)
    made: dict[str, type[torch.nn.Module]] = {}
    exec(MODULE, made)
    save_file(made["Net"](28).state_dict(), tmp_path / "w.safetensors")
    text, options = (
        f"python:{tmp_path}/net.py:Net",
        {"weights": tmp_path / "w.safetensors", "preprocess": {"normalize": "clip"}},
    )
    with pytest.raises(InputError, match="trained at 224x224 pixels, not at 32x32"):
        load_weights(made["Net"](4), tmp_path / "w.safetensors", asked=_asked(32, explicit=False))
    (warning,) = load(text, image_size=(32, 32), **options).spec.warnings
    assert "pos_embed from (1, 784, 8) to (1, 16, 8)" in warning


def _asked(side: int, explicit: bool) -> object:
    from edgevit.models._checkpoint.adapted import Asked

    return Asked((side, side), explicit)


def test_a_kernel_of_another_patch_size_is_no_other_image_size_but_stops_too(tmp_path: Path) -> None:
    module = timm.create_model("vit_tiny_patch16_224", patch_size=32, depth=1, embed_dim=24, num_heads=2)
    save_file(module.state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"pos_embed|patch_embed\.proj\.weight"):
        load("timm:vit_tiny_patch16_224", weights=tmp_path / "w.safetensors", model_args=SMALL)


# ------------------------------------------------------------------ tables


@pytest.mark.parametrize(
    ("name", "old", "new", "trained"),
    [
        ("pos_embed", (1, 577, 8), (1, 197, 8), (384, 384)),
        ("pos_embed", (1, 576, 8), (1, 196, 8), (384, 384)),
        ("pos_embed", (1, 578, 8), (1, 198, 8), (384, 384)),
        ("vision_model.embeddings.position_embedding.weight", (577, 8), (197, 8), (384, 384)),
        ("pos_embed", (1, 24, 24, 8), (1, 14, 14, 8), (384, 384)),
        ("pos_embed", (1, 8, 24, 24), (1, 8, 14, 14), (384, 384)),
        ("b.relative_position_bias_table", (47 * 47 + 3, 4), (27 * 27 + 3, 4), (384, 384)),
        ("b.relative_position_bias_table", (47 * 47, 4), (27 * 27, 4), (384, 384)),
        ("head.weight", (577, 8), (197, 8), None),
        ("pos_embed", (1, 577, 8), (1, 197, 9), None),
    ],
)
def test_the_size_that_weights_were_trained_at_is_read_from_shapes(
    name: str, old: tuple[int, ...], new: tuple[int, ...], trained: tuple[int, int] | None
) -> None:
    assert trained_size(name, old, new, (224, 224)) == trained
    value = torch.randn(old)
    assert fitted(name, value, new, (224, 224)).shape == (old if trained is None else new)


def test_oblong_images_get_an_oblong_grid() -> None:
    name, table = "pos_embed", torch.ones(1, 1 + 16, 4)
    assert trained_size(name, (1, 17, 4), (1, 1 + 4 * 8, 4), (64, 128)) == (64, 64)
    assert torch.allclose(fitted(name, table, (1, 33, 4), (64, 128)), torch.ones(1, 33, 4), atol=1e-5)


def test_a_table_of_relative_positions_keeps_its_entries_for_the_class_token() -> None:
    table = torch.cat([torch.full((15 * 15, 2), 0.7), torch.tensor([[1.0, 2], [3, 4], [5, 6]])])
    small = fitted("relative_position_bias_table", table, (7 * 7 + 3, 2), (32, 32))
    assert torch.equal(small[-3:], table[-3:])
    torch.testing.assert_close(small[:-3], torch.full((49, 2), 0.7), rtol=1e-3, atol=1e-3)


# ------------------------------------------------------------------ any change


def test_other_names_shapes_and_parts_are_no_change() -> None:
    qkv, kernel, bias = torch.randn(12, 4), torch.randn(8, 4), torch.randn(8).half()
    given = {"qkv": qkv, "old.kernel": kernel, "bias": bias, "count": torch.zeros((), dtype=torch.long)}
    query, key, value = qkv.chunk(3)
    taken = {"q.weight": query, "k.weight": key, "v.weight": value, "new.kernel": kernel[:, :, None, None],
             "bias": bias.float()}  # fmt: skip
    assert compare(given, taken) == ((), ())


def net(channels: int = 3) -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Conv2d(channels, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 3)
    )


def test_a_first_convolution_that_is_summed_is_told(tmp_path: Path) -> None:
    save_file(net(3).state_dict(), tmp_path / "w.safetensors")
    summed = load_weights(
        net(1),
        tmp_path / "w.safetensors",
        lambda state: {k: v.sum(1, keepdim=True) if k == "0.weight" else v for k, v in state.items()},
    )
    assert summed == ("changed while w.safetensors was loaded: 0.weight from (4, 3, 3, 3) to (4, 1, 3, 3)",)


def test_a_classifier_that_is_dropped_is_told(tmp_path: Path) -> None:
    save_file({**net().state_dict(), "head.weight": torch.randn(5, 4)}, tmp_path / "w.safetensors")
    dropped = load_weights(
        net(),
        tmp_path / "w.safetensors",
        lambda state: {k: v for k, v in state.items() if k != "head.weight"},
    )
    assert dropped == ("left out of w.safetensors, because the model has no place for it: head.weight",)


class Doubling(torch.nn.Linear):
    """A module that changes what it is given."""

    def _load_from_state_dict(self, state: dict[str, torch.Tensor], prefix: str, *rest: object) -> None:
        state[prefix + "weight"] = 2 * state[prefix + "weight"]
        super()._load_from_state_dict(state, prefix, *rest)


def test_a_module_that_changes_what_it_loads_is_told(tmp_path: Path) -> None:
    save_file(Doubling(4, 3).state_dict(), tmp_path / "w.safetensors")
    (told,) = load_weights(Doubling(4, 3), tmp_path / "w.safetensors")
    assert told == "changed while w.safetensors was loaded: weight from (3, 4) to (3, 4)"
    assert load_weights(torch.nn.Linear(4, 3), tmp_path / "w.safetensors") == ()
