from __future__ import annotations

from pathlib import Path

import pytest

from edgevit import registries
from edgevit.core.errors import EdgevitError, UnsupportedError, UsageError
from edgevit.flows import make_recipe as recipes
from edgevit.flows._run_prepare import backends
from edgevit.steps.resolve import resolve, short_name


@pytest.mark.parametrize(
    ("source", "argument", "name"),
    [
        ("demo", "", "demo"),
        ("timm", "vit_tiny_patch16_224.augreg_in21k", "vit_tiny_patch16_224.augreg_in21k"),
        ("hf", "./models/my vit/", "my-vit"),
        ("hf", "google/vit-base", "vit-base"),
        ("python", "nets/mine.py:make_net", "make_net"),
        ("exported", "../net.pt2", "net"),
        ("hf", "..", "hf"),
    ],
)
def test_bundle_is_named_after_the_model(source: str, argument: str, name: str) -> None:
    assert short_name(source, argument) == name


def test_demo_brings_its_own_images_unless_others_are_named(tmp_path: Path) -> None:
    own = resolve(recipes.make({"model": "demo", "precision": "w8a8"}))
    assert (own.recipe.calibrate, own.recipe.evaluate) == ("demo", "demo")
    other = resolve(recipes.make({"model": "demo", "calibrate": str(tmp_path)}))
    assert (other.recipe.calibrate, other.recipe.evaluate) == (str(tmp_path), "demo")


def test_all_targets_and_the_default_folder_when_nothing_is_said() -> None:
    work = resolve(recipes.make({"model": "timm:vit_tiny_patch16_224"}))
    assert work.pairs == dict.fromkeys(registries.TARGETS.names(), ("fp16",))
    assert work.output == Path("dist/vit_tiny_patch16_224")
    assert (work.source, work.argument) == ("timm", "vit_tiny_patch16_224")


def test_options_are_sorted_by_target() -> None:
    work = resolve(recipes.make({"model": "demo", "to": "onnx,tflite", "option": ["onnx.opset=20"]}))
    assert work.options == {"onnx": {"opset": "20"}, "tflite": {}}


def test_option_of_an_unknown_target_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="unknown target 'onx'"):
        resolve(recipes.make({"model": "demo", "option": ["onx.opset=20"]}))


def test_folds_are_switched_off_like_rewrites() -> None:
    asked = {
        "model": "timm:vit_tiny_patch16_224",
        "to": "onnx,tflite",
        "precision": "w8a8",
        "calibrate": "demo",
    }
    onnx, tflite = backends(resolve(recipes.make(asked)))
    assert onnx.folds == ("smooth_activations",)
    assert tflite.folds == ("layernorm_to_rmsnorm", "patches_as_linear", "smooth_activations")
    off = ["smooth_activations", "patches_as_linear"]
    onnx, tflite = backends(resolve(recipes.make({**asked, "without": off})))
    assert (onnx.folds, tflite.folds) == ((), ("layernorm_to_rmsnorm",))


@pytest.mark.parametrize(
    ("target", "precision", "option", "told"),
    [
        ("onnx", "w4", "onnx.opset=18", "int4 from operator set 21 on, not in 18"),
        ("onnx", "w8da8", "onnx.batch=8", "onnx.batch does not go with w8da8"),
        ("tflite", "fp16", "tflite.output=int8", "tflite.output=int8 needs static ranges"),
        ("tflite", "fp16,w8a8", "tflite.output=int8", "tflite.output=int8 needs static ranges.*fp16 has not"),
        ("coreml", "w4", "coreml.deployment=iOS16", "Core ML for iOS16 can do"),
    ],
)
def test_an_option_that_a_precision_rules_out_is_refused_before_any_work(
    target: str, precision: str, option: str, told: str
) -> None:
    settings = {"model": "demo", "to": target, "precision": precision, "option": [option]}
    with pytest.raises(EdgevitError, match=told):
        resolve(recipes.make(settings))


@pytest.mark.parametrize("source", registries.SOURCES.own())
def test_what_a_source_says_decides_and_not_its_name(source: str) -> None:
    known = registries.SOURCES.get(source)
    argument = "" if source == "demo" else "x.pt2" if source == "exported" else "a.b:C"
    model = argument if source == "exported" else f"{source}:{argument}" if argument else source
    pruned = recipes.make({"model": model, "precision": "fp32", "prune": "mlp=0.5", "calibrate": "demo"})
    if known.prunable:
        assert resolve(pruned).recipe.evaluate == (known.images or None)
    else:
        with pytest.raises(UnsupportedError, match="--prune cannot change an exported program"):
            resolve(pruned)
    assert (source == "demo") == bool(known.images)
