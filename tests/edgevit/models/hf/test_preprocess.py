"""Preprocessing of Hugging Face folders: where it is found, in which form, and what it is without a file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file

from calibration.decode import decode
from calibration.preprocess import to_pixels
from edgevit.core.assets import demo_asset
from edgevit.core.errors import InputError, UnsupportedError, UsageError
from edgevit.core.pixels import normalise
from edgevit.core.plugins import LoadRequest
from edgevit.core.types import Preprocess, TorchModel
from edgevit.models._hf.config import configuration
from edgevit.models._hf.defaults import FAMILIES
from edgevit.models._hf.preprocess import preprocess_of
from edgevit.registries import SOURCES

HALF = ((0.5,) * 3, (0.5,) * 3)


def found(
    model_type: str,
    files: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    **asked: Any,
) -> tuple[Preprocess, str]:
    """What a folder with such a config.json and such files gives."""
    kept = SimpleNamespace(**{"model_type": model_type, **(config or {})})
    return preprocess_of(kept, lambda name: (files or {}).get(name, {}), LoadRequest("hf:d", "d", **asked))


def load(folder: Path, **asked: Any) -> TorchModel:
    return SOURCES.get("hf").load(LoadRequest(f"hf:{folder}", str(folder), **asked))


# ------------------------------------------------------------------ files


def test_the_file_of_transformers_5_is_read_as_it_is_written(tmp_path: Path) -> None:
    from transformers import CLIPImageProcessor, CLIPProcessor, CLIPTokenizer

    vocabulary = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"))
    images = CLIPImageProcessor(
        size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32}, image_std=(0.3,) * 3
    )
    CLIPProcessor(images, tokenizer).save_pretrained(tmp_path / "out")
    assert not (tmp_path / "out" / "preprocessor_config.json").exists()
    files = {"processor_config.json": json.loads((tmp_path / "out" / "processor_config.json").read_text())}
    preprocess, origin = found("clip", files)
    assert preprocess == Preprocess(
        32, 32, (40, 40), True, "bicubic", "rgb", (0.48145466, 0.4578275, 0.40821073), (0.3,) * 3, "exif"
    )
    assert origin == "image_processor in processor_config.json"


def test_a_nested_processor_goes_before_the_older_file_and_a_flat_one_is_no_processor() -> None:
    old = {"image_processor_type": "ViTImageProcessorFast", "size": {"height": 32, "width": 32}}
    new = {
        "image_processor": {**old, "image_mean": [0.1] * 3, "image_std": [0.2] * 3},
        "video_processor": {"size": 1},
    }
    files = {"preprocessor_config.json": old, "processor_config.json": new}
    preprocess, origin = found("vit", files)
    assert preprocess.mean == (0.1,) * 3 and origin == "image_processor in processor_config.json"
    other = {**files, "preprocessor_config.json": {**old, "image_mean": [0.3] * 3}}
    preprocess, origin = found("vit", other)
    assert preprocess.mean == (0.1,) * 3
    assert "preprocessor_config.json has another image_mean, which transformers does not read" in origin
    preprocess, origin = found("vit", {**files, "processor_config.json": {"processor_class": "X"}})
    assert (preprocess.mean, preprocess.std) == HALF
    assert (
        origin
        == "preprocessor_config.json, with image_mean and image_std of transformers' ViTImageProcessorFast"
    )


@pytest.mark.parametrize(
    ("config", "resize", "shorter"),
    [
        ({"feature_extractor_type": "ViTFeatureExtractor", "size": 32}, (32, 32), False),
        ({"feature_extractor_type": "CLIPFeatureExtractor", "size": 40, "crop_size": 32}, (40, 40), True),
        ({"feature_extractor_type": "ConvNextFeatureExtractor", "size": 32, "crop_pct": 0.8}, (40, 40), True),
        ({"feature_extractor_type": "LevitFeatureExtractor", "size": 32, "crop_size": 32}, (36, 36), True),
    ],
)
def test_one_number_as_size_means_what_its_class_makes_of_it(
    config: dict[str, Any], resize: tuple[int, int], shorter: bool
) -> None:
    preprocess, origin = found(
        "x", {"preprocessor_config.json": {**config, "image_mean": [0.5] * 3, "image_std": [1] * 3}}
    )
    assert (preprocess.resize, preprocess.shorter_side) == (resize, shorter)
    assert (preprocess.height, preprocess.width) == (32, 32) and origin == "preprocessor_config.json"


def test_a_kept_aspect_is_asked_for_what_a_file_of_one_size_does() -> None:
    """DPT's processor gives a picture of another width for each image."""
    from transformers import DPTImageProcessor

    theirs = DPTImageProcessor(size={"height": 32, "width": 32}, keep_aspect_ratio=True, ensure_multiple_of=8)
    wide = theirs(Image.new("RGB", (72, 48)), return_tensors="np")["pixel_values"]
    assert wide.shape[-2:] == (32, 48)
    files = {"preprocessor_config.json": theirs.to_dict()}
    with pytest.raises(
        UsageError, match=r"a size of its own \(keep_aspect_ratio, ensure_multiple_of=8 in"
    ) as told:
        found("dpt", files)
    assert "--preprocess resize=32x32 squeezes" in str(told.value.hint) and "resize=32 resizes" in str(
        told.value.hint
    )
    whole, _ = found("dpt", files, preprocess={"resize": "32x32"})
    assert (whole.resize, whole.shorter_side, whole.height, whole.width) == ((32, 32), False, 32, 32)
    cut, origin = found("dpt", files, preprocess={"resize": "32"})
    assert (cut.resize, cut.shorter_side, cut.height, cut.width) == ((32, 32), True, 32, 32)
    assert origin == "preprocessor_config.json, except resize, given by --preprocess"
    assert found("dpt", files, random_weights=0)[0].height == 32  # nothing was trained on any size


@pytest.mark.parametrize(("side", "multiple"), [(500, 32), (47, 14), (40, 16), (384, 32)])
def test_a_multiple_is_what_transformers_makes_of_the_size(side: int, multiple: int) -> None:
    from transformers import DPTImageProcessor

    theirs = DPTImageProcessor(size={"height": side, "width": side}, ensure_multiple_of=multiple)
    made = theirs(Image.new("RGB", (72, 48)), return_tensors="np")["pixel_values"]
    ours, _ = found("dpt", {"preprocessor_config.json": theirs.to_dict()})
    assert (ours.height, ours.width) == ours.resize == made.shape[-2:] and not ours.shorter_side


def test_sizes_that_follow_the_image_are_not_taken_for_one() -> None:
    statistics = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 2}
    longest = {**statistics, "size": {"shortest_edge": 80, "longest_edge": 133}}
    with pytest.raises(UsageError, match="longest_edge=133"):
        found("x", {"preprocessor_config.json": longest})
    with pytest.raises(UsageError, match="longest_edge=133"):
        found("x", {"preprocessor_config.json": {**statistics, "size": {"longest_edge": 133}}})
    divided = {"preprocessor_config.json": {**statistics, "size_divisor": 32}}
    with pytest.raises(UsageError, match="size_divisor=32") as told:
        found("x", divided, preprocess={"resize": "64x96"})
    assert str(told.value.hint).startswith("add --image-size HEIGHTxWIDTH")
    ours, _ = found("x", divided, preprocess={"resize": "64x96"}, image_size=(64, 96))
    assert (ours.height, ours.width, ours.resize, ours.shorter_side) == (64, 96, (64, 96), False)


@pytest.mark.parametrize("kind", ["Yolos", "Detr"])
def test_a_batch_that_is_padded_to_its_largest_image_is_one_image_as_it_is(kind: str) -> None:
    import transformers

    theirs = getattr(transformers, f"{kind}ImageProcessor")()
    assert theirs.do_pad
    files = {"preprocessor_config.json": theirs.to_dict()}
    with pytest.raises(UsageError, match="longest_edge=1333"):
        found(kind.lower(), files)
    ours, _ = found(kind.lower(), files, preprocess={"resize": "64x96"}, image_size=(64, 96))
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    wanted = theirs(Image.fromarray(image), size={"height": 64, "width": 96}, return_tensors="np")
    made = normalise(to_pixels(image, ours)[None], ours, "NCHW")
    np.testing.assert_allclose(made, wanted["pixel_values"], atol=1e-5)
    fixed = {"preprocessor_config.json": {**theirs.to_dict(), "pad_size": {"height": 99, "width": 99}}}
    with pytest.raises(UnsupportedError, match="do_pad"):
        found(kind.lower(), fixed, preprocess={"resize": "64x96"}, image_size=(64, 96))


def test_a_square_size_keeps_the_form_in_which_the_configuration_has_it() -> None:
    """YOLOS takes a list alone."""
    asked = LoadRequest("hf:d", "d", image_size=(64, 64))
    pair = {"model_type": "yolos", "image_size": [512, 864]}
    assert configuration(asked, pair).image_size == [64, 64]
    assert configuration(asked, {"model_type": "vit", "image_size": 224}).image_size == 64


GREY = {"image_mean": [0.13], "image_std": [0.31], "size": {"height": 16, "width": 16}}
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
         "image_size": 16, "patch_size": 8}  # fmt: skip


def test_a_grey_folder_is_fed_what_its_own_processor_makes(tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

    torch.manual_seed(0)
    net = ViTForImageClassification(ViTConfig(**SMALL, num_channels=1)).eval()
    net.save_pretrained(tmp_path)
    processor = ViTImageProcessorPil(**GREY)
    processor.save_pretrained(tmp_path)
    model = load(tmp_path)
    assert model.spec.preprocess == Preprocess(
        16, 16, (16, 16), False, "bilinear", "gray", (0.13,), (0.31,), "exif"
    )
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8))
    image.save(tmp_path / "a.png")
    own = normalise(to_pixels(decode(tmp_path / "a.png"), model.spec.preprocess)[None], model.spec.preprocess)
    theirs = processor(np.array(image)[None], input_data_format="channels_first", return_tensors="pt")
    np.testing.assert_allclose(own, theirs["pixel_values"].numpy(), atol=1e-6)
    with torch.no_grad():
        expected = net(theirs["pixel_values"]).logits
        torch.testing.assert_close(model.module(torch.from_numpy(own)), expected)


@pytest.mark.parametrize("channels", [1, 4])
def test_statistics_of_colours_are_not_taken_for_other_channels(channels: int) -> None:
    colours = {**GREY, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    config = {"num_channels": channels, "image_size": 16}
    for files in ({"preprocessor_config.json": colours}, {}):  # a file, and the usual values of the family
        with pytest.raises(UsageError, match=f"it takes {channels} channel.* has mean and std of 3"):
            found("vit", files, config)
        told, _ = found("vit", files, config, preprocess={"mean": "0.2", "std": "0.3"})
        assert (told.mean, told.std) == ((0.2,) * channels, (0.3,) * channels)
    # one number is meant for all, and without normalisation there is nothing to ask for
    one = {**GREY, "image_mean": 0.4, "image_std": 0.2}
    assert found("vit", {"preprocessor_config.json": one}, config)[0].mean == (0.4,) * channels
    none = {"do_normalize": False, "size": 16, "image_processor_type": "ViTImageProcessor"}
    plain, _ = found("vit", {"preprocessor_config.json": none}, config)
    assert (plain.mean, plain.std) == ((0.0,) * channels, (1.0,) * channels)


def test_channels_are_those_of_the_part_that_takes_the_image() -> None:
    files = {"preprocessor_config.json": GREY}
    for config in (
        {"backbone_config": SimpleNamespace(num_channels=1)},
        {"vision_config": SimpleNamespace(num_channels=1)},
        {"model_args": {"in_chans": 1}},
    ):
        assert found("dpt", files, config)[0].color == "gray"


def test_a_class_of_somebody_else_without_statistics_is_asked_for() -> None:
    files = {"preprocessor_config.json": {"image_processor_type": "TheirProcessor", "size": 32}}
    with pytest.raises(UsageError, match="image_mean and image_std, and transformers has no TheirProcessor"):
        found("theirs", files)
    assert found("theirs", files, preprocess={"normalize": "clip"})[1].startswith("--preprocess (normalize)")


@pytest.mark.parametrize(
    "broken",
    [
        {"image_processor_type": "ViTImageProcessor", "size": {"height": "a", "width": 2}},
        {"image_processor_type": "PoolFormerImageProcessor", "crop_pct": 0, "size": {"shortest_edge": 1e400}},
        {"image_processor_type": "os", "size": 32, "image_mean": 3, "image_std": [[]]},
        {"data_config": {"mean": [1], "std": "x", "input_size": 7}},
        {"pretrained_cfg": {"mean": {}, "std": [1, 1, 1], "input_size": [3, 8, 8]}},
        {"image_processor": {"image_processor_type": 5, "size": []}},
    ],
)
def test_nonsense_is_an_error_in_words(broken: dict[str, Any]) -> None:
    for model_type in ("vit", "timm_wrapper"):
        with pytest.raises((InputError, UsageError)):
            found(model_type, {"preprocessor_config.json": broken})


# ------------------------------------------------------------------ families

# timm publishes the same weights, from the same authors, with its own record of how images are prepared.
_TIMM_TWINS = {
    "vit": "vit_base_patch16_224.augreg2_in21k_ft_in1k",
    "beit": "beit_base_patch16_224.in22k_ft_in22k_in1k",
    "deit": "deit_base_patch16_224.fb_in1k",
    "swin": "swin_tiny_patch4_window7_224.ms_in1k",
    "swinv2": "swinv2_tiny_window8_256.ms_in1k",
    "convnext": "convnext_tiny.fb_in1k",
    "convnextv2": "convnextv2_tiny.fcmae_ft_in1k",
    "regnet": "regnety_040.pycls_in1k",
    "resnet": "resnet50.a1_in1k",
    "dinov2": "vit_base_patch14_dinov2.lvd142m",
    "dinov3_vit": "vit_base_patch16_dinov3.lvd1689m",
    "focalnet": "focalnet_tiny_srf.ms_in1k",
    "hiera": "hiera_tiny_224.mae_in1k_ft_in1k",
    "levit": "levit_128s.fb_dist_in1k",
    "poolformer": "poolformer_s12.sail_in1k",
    "pvt_v2": "pvt_v2_b0.in1k",
    "clip": "vit_base_patch32_clip_224.openai",
    "siglip": "vit_base_patch16_siglip_224.webli",
    "mobilenet_v1": "mobilenetv1_100.ra4_e3600_r224_in1k",
}


@pytest.mark.parametrize("family", sorted(_TIMM_TWINS))
def test_a_family_s_statistics_are_those_that_timm_records_for_the_same_weights(family: str) -> None:
    wanted = timm.models.get_pretrained_cfg(_TIMM_TWINS[family])
    preprocess, origin = found(family, config={"image_size": 64})
    assert preprocess.mean == pytest.approx(tuple(wanted.mean), abs=1e-6)
    assert preprocess.std == pytest.approx(tuple(wanted.std), abs=1e-6)
    assert (
        origin.startswith(f"the usual values of {family} models (") and "no processor_config.json" in origin
    )


def test_every_family_gives_a_preprocessing_of_the_model_s_own_size() -> None:
    for family in FAMILIES:
        preprocess, _ = found(family, config={"image_size": 96})
        own = family not in ("dinov2", "dinov3_vit")
        assert (preprocess.height, preprocess.width) == ((96, 96) if own else (224, 224)), family
        assert preprocess.resize >= (preprocess.height, preprocess.width), family


def test_mobilevit_is_bgr_from_0_to_1_and_efficientnet_is_divided_twice() -> None:
    for family in ("mobilevit", "mobilevitv2"):
        preprocess, _ = found(family, config={"image_size": 128})
        assert preprocess == Preprocess(
            128, 128, (144, 144), True, "bilinear", "bgr", (0.0,) * 3, (1.0,) * 3, "exif"
        )
    assert found("efficientnet")[0].std == pytest.approx((0.229, 0.224, 0.225), abs=1e-4)


def test_clip_s_tower_has_clip_s_own_and_unknown_families_are_asked_for() -> None:
    assert found("clip_vision_model", config={"image_size": 64})[0].mean[0] == 0.48145466
    with pytest.raises(UsageError, match=r"checkpoints of vit_msn do not agree") as caught:
        found("vit_msn", config={"image_size": 64})
    assert "--preprocess" in caught.value.hint
    for family in ("vit_msn", "vit"):
        preprocess, origin = found(family, config={"image_size": 64}, random_weights=0)
        assert preprocess == Preprocess(64, 64, (64, 64), orient="exif"), family
        assert origin == "ImageNet, since random weights have none"


def test_images_are_turned_as_transformers_turns_them_unless_told_otherwise(tmp_path: Path) -> None:
    from transformers.image_utils import load_image

    exif = Image.Exif()
    exif[0x0112] = 8
    noise = np.random.default_rng(0).integers(0, 256, (6, 4, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png", exif=exif)
    turned = np.asarray(load_image(str(tmp_path / "a.png")))
    for orient, wanted in ({}, turned), ({"orient": "none"}, noise):
        preprocess, _ = found("vit", config={"image_size": 32}, preprocess=orient)
        size = wanted.shape[:2]
        preprocess = replace(preprocess, height=size[0], width=size[1], resize=size, shorter_side=False)
        np.testing.assert_array_equal(to_pixels(decode(tmp_path / "a.png"), preprocess), wanted)


# ------------------------------------------------------------------ whole folders


def save_vit(folder: Path) -> Any:
    """A ViT whose class is the brighter half: right only for inputs of -1 to 1."""
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
                       image_size=32, patch_size=8, num_labels=3)  # fmt: skip
    torch.manual_seed(0)
    model = ViTForImageClassification(config).eval()
    model.save_pretrained(folder)
    return model


def test_a_checkpoint_without_a_processor_computes_what_it_computes_with_one(tmp_path: Path) -> None:
    from transformers import ViTImageProcessor

    theirs = save_vit(tmp_path / "without")
    shutil.copytree(tmp_path / "without", tmp_path / "with")
    processor = ViTImageProcessor(size={"height": 32, "width": 32})
    processor.save_pretrained(tmp_path / "with")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    wanted = theirs(**processor(list(pixels), return_tensors="pt")).logits
    for name, origin in (("with", "preprocessor_config.json"), ("without", "the usual values of vit models")):
        model = load(tmp_path / name)
        assert model.spec.preprocess_origin.startswith(origin)
        inputs = torch.from_numpy(normalise(pixels, model.spec.preprocess))
        torch.testing.assert_close(model.module(inputs), wanted, rtol=1e-4, atol=1e-5)


def test_a_classifier_on_the_tower_of_a_model_for_images_and_text_has_the_tower_s_size(
    tmp_path: Path,
) -> None:
    from transformers import SiglipConfig, SiglipForImageClassification

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    tower = {**sizes, "image_size": 64, "patch_size": 8}
    theirs = SiglipForImageClassification(SiglipConfig(text_config=sizes, vision_config=tower, num_labels=3))
    theirs.eval().save_pretrained(tmp_path)
    model = load(tmp_path)
    assert (model.spec.preprocess.height, model.spec.preprocess.mean) == (64, (0.5,) * 3)
    image = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(model.module(image), theirs(pixel_values=image).logits)
    (told,) = load(tmp_path, image_size=(32, 32)).spec.warnings
    assert "position_embedding.weight from (64, 16) to (16, 16)" in told


def demo_wrapped(folder: Path) -> None:
    """The demo's own weights as transformers' Trainer leaves a model of timm: config.json, model.safetensors."""
    from transformers import TimmWrapperConfig, TimmWrapperForImageClassification

    config = json.loads(demo_asset("config.json").read_text())
    labels = demo_asset("labels.txt").read_text().split("\n")[:10]
    record = timm.models.get_pretrained_cfg("mobilevit_xxs").to_dict(remove_source=True, remove_null=True)
    record |= {
        key: config[key]
        for key in ("architecture", "num_classes", "mean", "std", "crop_pct", "interpolation")
    }
    record["input_size"] = [3, config["input_size"], config["input_size"]]
    wrapper = TimmWrapperForImageClassification(
        TimmWrapperConfig(
            architecture=config["architecture"],
            num_labels=10,
            id2label=dict(enumerate(labels)),
            label2id={name: i for i, name in enumerate(labels)},
            pretrained_cfg=record,
        )
    )
    wrapper.timm_model.load_state_dict(load_file(demo_asset("model.safetensors")))
    wrapper.save_pretrained(folder)


def test_a_model_of_timm_in_transformers_wrapper_is_that_model(tmp_path: Path) -> None:
    demo_wrapped(tmp_path / "demo")
    wrapped, demo = load(tmp_path / "demo"), SOURCES.get("demo").load(LoadRequest("demo", ""))
    assert wrapped.spec.preprocess == replace(demo.spec.preprocess, orient="exif")
    assert wrapped.spec.labels == demo.spec.labels
    assert wrapped.spec.preprocess_origin == "pretrained_cfg in config.json"
    image = torch.randn(1, 3, 128, 128)
    torch.testing.assert_close(wrapped.module(image), demo.module(image))


def test_a_folder_of_timm_s_own_is_the_same_model(tmp_path: Path) -> None:
    from timm.models import save_for_hf

    arguments = {"depth": 1, "embed_dim": 24, "num_heads": 2, "img_size": 32}
    own = timm.create_model("vit_tiny_patch16_224", num_classes=3, **arguments).eval()
    save_for_hf(own, tmp_path, model_args=arguments, model_config={"label_names": ["cat", "dog", "fox"]})
    model = load(tmp_path, image_size=(32, 32))
    assert model.spec.labels == ("cat", "dog", "fox") and model.spec.preprocess.mean == (0.5,) * 3
    image = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model.module(image), own(image))


def test_a_wrapper_s_own_processor_file_is_read_in_its_form() -> None:
    record = {
        "input_size": [3, 48, 48],
        "mean": [0.1] * 3,
        "std": [0.2] * 3,
        "crop_pct": 0.75,
        "interpolation": "bilinear",
    }
    files = {
        "preprocessor_config.json": {
            "image_processor_type": "TimmWrapperImageProcessor",
            "data_config": record,
        }
    }
    preprocess, origin = found("timm_wrapper", files)
    assert preprocess == Preprocess(48, 48, (64, 64), True, "bilinear", "rgb", (0.1,) * 3, (0.2,) * 3, "exif")
    assert origin == "preprocessor_config.json"
    with pytest.raises(UsageError, match=r"pretrained_cfg in config\.json has no mean and std"):
        found("timm_wrapper", config={"pretrained_cfg": {"input_size": [3, 48, 48]}})


def test_an_older_repository_in_the_cache_loads_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants
    from transformers import ViTImageProcessor

    repository = tmp_path / "models--a--vit"
    save_vit(repository / "snapshots" / "0")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    request = LoadRequest("hf:a/vit", "a/vit")
    with pytest.raises(InputError, match=r"preprocessor_config\.json of a/vit is neither in the local cache"):
        SOURCES.get("hf").load(request)  # whether it has one is not known
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(repository / "snapshots" / "0")
    assert SOURCES.get("hf").load(request).spec.preprocess_origin == "preprocessor_config.json"
