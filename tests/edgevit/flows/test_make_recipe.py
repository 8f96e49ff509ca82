from __future__ import annotations

from pathlib import Path

import pytest

from edgevit import cli
from edgevit.core.errors import InputError, UsageError
from edgevit.core.precisions import Precision
from edgevit.core.settings.plain import as_json, from_json
from edgevit.core.settings.recipe import Recipe
from edgevit.core.settings.recipe_file import save
from edgevit.flows import make_recipe as r

FLAGS = {
    "model": "timm:vit_tiny_patch16_224",
    "random_weights": 0,
    "image_size": "192x256",
    "model_arg": ["depth=2", "note=a=b"],
    "preprocess": ["mean=0.5,0.5,0.5", "color=bgr"],
    "to": "onnx,tflite",
    "precision": "fp32,w8a8",
    "calibrate": 'images of "cats"',
    "prune": ["mlp=0.25", "mlp=0.1"],
    "without": ["split_attention"],
    "option": ["onnx.opset=20"],
    "max_drop": 0.5,
    "output": Path("dist/x"),
    "overwrite": True,
    "seed": 7,
}


def test_flags_become_values() -> None:
    made = r.make(FLAGS)
    assert made.random_weights == 0
    assert made.image_size == (192, 256)
    assert made.model_arg == {"depth": "2", "note": "a=b"}
    assert made.preprocess == {"mean": "0.5,0.5,0.5", "color": "bgr"}
    assert made.to == ("onnx", "tflite") and made.precision == ("fp32", "w8a8")
    assert made.prune == (("mlp", 0.25), ("mlp", 0.1))
    assert made.option == (("onnx", "opset", "20"),)
    assert made.output == Path("dist/x") and made.overwrite


def test_saved_recipe_reads_back_the_same(tmp_path: Path) -> None:
    made = r.make(FLAGS)
    save(made, tmp_path / "recipe.toml")
    assert r.make({}, tmp_path / "recipe.toml") == made
    assert from_json(as_json(made)) == made


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('model = "demo"\nweights = "a.pth"\nprecision = "w8"\nseed = 3\n')
    made = r.make({"precision": "fp32", "random_weights": 1}, path)
    assert (made.model, made.precision, made.seed) == ("demo", ("fp32",), 3)
    assert (made.weights, made.random_weights) == (None, 1)


def test_file_may_use_tables_and_arrays_as_toml_has_them(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(
        'model = "demo"\nimage-size = 96\nto = ["onnx"]\n'
        "preprocess = { mean = [0.5, 0.5, 0.5] }\nprune = { mlp = 0.25 }\noption.onnx.opset = 20\n"
    )
    made = r.make({}, path)
    assert made.image_size == (96, 96) and made.to == ("onnx",)
    assert made.preprocess == {"mean": "0.5,0.5,0.5"}
    assert made.prune == (("mlp", 0.25),) and made.option == (("onnx", "opset", "20"),)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("precison = 'w8'", "did you mean precision"),
        ("seed = 'many'", "--seed 'many'"),
        ("to = ['onnx', 'onnx']", "names one entry twice"),
        ("seed = ", "is not TOML"),
    ],
)
def test_bad_file_is_an_input_error_that_says_where(content: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        r.make({"model": "demo"}, path)
    assert words in caught.value.message + caught.value.hint and "recipe.toml" in caught.value.message


def test_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        r.make({"model": "demo"}, tmp_path / "recipe.toml")


@pytest.mark.parametrize("model", ["timm:test_vit2", "python:net.py:build"])
def test_no_classes_are_a_model_without_a_head(model: str) -> None:
    assert r.make({"model": model, "num_classes": 0}).num_classes == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"image_size": "0"}, "--image-size '0'"),
        ({"image_size": "224x"}, "224 or 192x256"),
        ({"to": "onnx,,tflite"}, "empty entry"),
        ({"preprocess": ["maen=1"]}, "did you mean mean"),
        ({"preprocess": ["mean"]}, "not KEY=VALUE"),
        ({"prune": ["mlp"]}, "--prune mlp=0.25"),
        ({"prune": ["mlp=25"]}, "between 0 and 1"),
        ({"prune": ["mlp=nan"]}, "between 0 and 1"),
        ({"option": ["opset=20"]}, "TARGET.KEY=VALUE"),
        ({"calibration_count": 0}, "--calibration-count 0"),
        ({"num_classes": -1}, "--num-classes -1"),
        (
            {"model": "torchvision:resnet18", "num_classes": 0},
            "models of python and timm, not of torchvision",
        ),
        ({"min_agreement": 101}, "from 0 to 100"),
        ({"weights": "a.pth", "random_weights": 1}, "both given"),
        ({"weights_key": "ema"}, "without --weights"),
        ({"model": None}, "no MODEL"),
        ({"precission": "w8"}, "did you mean precision"),
    ],
)
def test_bad_flag_is_a_usage_error_that_names_it(settings: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        r.make({"model": "demo", **settings})
    assert words in f"{caught.value.message} {caught.value.hint}"


def test_a_list_may_be_given_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last `--to` alone would leave targets out that somebody asked for."""
    asked: list[Recipe] = []

    def flow(recipe: Recipe, *_: object) -> object:
        asked.append(recipe)
        raise UsageError("enough", "it is only asked what was asked for")

    monkeypatch.setattr("edgevit.flows.convert.convert", flow)
    flags = ("--to", "onnx", "--to", "tflite,coreml", "--precision", "w8", "--precision", "fp16")
    with pytest.raises(SystemExit):
        cli.main(["convert", "demo", *flags])
    assert asked[0].to == ("onnx", "tflite", "coreml")
    assert asked[0].precision == (Precision.W8, Precision.FP16)
