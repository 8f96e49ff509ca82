"""Preprocessing from configurations, and its overrides."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from edgevit.core.errors import InputError, UnsupportedError, UsageError
from edgevit.core.plugins import LoadRequest
from edgevit.core.types import Preprocess
from edgevit.models._hf.preprocess import preprocess_of
from edgevit.models._preprocess import for_channels, from_timm, override


def from_file(config: dict[str, object]) -> Preprocess:
    """What a folder with this preprocessor_config.json, and nothing else that says anything, gives."""
    files = {"preprocessor_config.json": config}
    request = LoadRequest("hf:folder", "folder")
    return preprocess_of(SimpleNamespace(model_type="vit"), lambda name: files.get(name, {}), request)[0]


BASE = Preprocess(224, 192, (256, 256))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"resize": "240"}, Preprocess(224, 192, (240, 240))),
        ({"resize": "240x200"}, Preprocess(224, 192, (240, 200), shorter_side=False)),
        ({"crop_pct": "0.9"}, Preprocess(224, 192, (248, 213))),
        ({"interpolation": "bilinear"}, Preprocess(224, 192, (256, 256), interpolation="bilinear")),
        ({"mean": "0.5"}, Preprocess(224, 192, (256, 256), mean=(0.5, 0.5, 0.5))),
        ({"std": "0.1,0.2,0.3"}, Preprocess(224, 192, (256, 256), std=(0.1, 0.2, 0.3))),
        ({"color": "bgr"}, Preprocess(224, 192, (256, 256), color="bgr")),
        ({"border": "127"}, Preprocess(224, 192, (256, 256), shorter_side=False, border=(127, 127, 127))),
        ({"border": "1,2,3", "resize": "224x192"}, Preprocess(224, 192, (224, 192), False, border=(1, 2, 3))),
        ({}, BASE),
    ],
)
def test_overrides_change_just_their_field(values: dict[str, str], expected: Preprocess) -> None:
    assert override(BASE, values) == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("resize", "0"), ("resize", "a"), ("resize", "1x2x3"), ("resize", ""), ("crop_pct", "1.5"), ("crop_pct", "x"),
        ("interpolation", "cubic"), ("mean", "1,2"), ("mean", "nan"), ("std", "0"), ("std", "-1,1,1"),
        ("color", "RGB"), ("colour", "rgb"), ("border", "256"), ("border", "1,2"), ("border", "black"),
    ],
)  # fmt: skip
def test_a_wrong_override_is_a_usage_error_that_names_it(key: str, value: str) -> None:
    with pytest.raises(UsageError, match=key):
        override(BASE, {key: value})


def test_resize_and_crop_pct_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="not both"):
        override(BASE, {"resize": "256", "crop_pct": "0.9"})


def test_timm_s_configuration_and_another_size() -> None:
    config = {"input_size": (3, 224, 224), "interpolation": "bicubic", "mean": (0.5,) * 3, "std": (0.25,) * 3,
              "crop_pct": 0.875, "crop_mode": "center"}  # fmt: skip
    found = from_timm(config, None)
    assert found == Preprocess(224, 224, (256, 256), mean=(0.5,) * 3, std=(0.25,) * 3)
    assert from_timm(config, (64, 96)).resize == (73, 109)
    assert not from_timm({**config, "crop_mode": "squash"}, None).shorter_side
    with pytest.raises(UnsupportedError):
        from_timm({**config, "interpolation": "random"}, None)
    bordered = from_timm({**config, "crop_mode": "border"}, (64, 96))
    assert bordered.border == (128, 128, 128) and bordered.resize == (73, 109) and not bordered.shorter_side
    assert for_channels(bordered, 1).border == (128,)
    given = {"resize": "64x96"}
    squeezed = override(bordered, given)
    assert squeezed.resize == (64, 96) and not squeezed.shorter_side and squeezed.border is None
    other = {**config, "crop_mode": "another"}
    with pytest.raises(UsageError, match="crop mode is 'another'") as asked:
        from_timm(other, (64, 96))
    assert "--preprocess resize=64x96 squeezes" in asked.value.hint
    assert override(from_timm(other, (64, 96), given), given) == squeezed


def hf_pixels(processor: object, image: Image.Image) -> np.ndarray:
    assert callable(processor)
    return np.asarray(processor(image, return_tensors="np")["pixel_values"][0], np.float32)


@pytest.mark.parametrize(
    "kind", ["ViT", "DeiT", "MobileViT", "ConvNext", "Bit", "Levit", "PoolFormer", "EfficientNet"]
)
def test_pixels_equal_those_of_the_processor_itself(kind: str) -> None:
    import transformers

    from calibration.preprocess import to_pixels
    from edgevit.core.pixels import normalise

    options: dict[str, dict[str, object]] = {
        "ViT": {"size": {"height": 40, "width": 32}},
        "DeiT": {"size": {"height": 40, "width": 40}, "crop_size": {"height": 32, "width": 32}},
        "MobileViT": {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}},
        "ConvNext": {"size": {"shortest_edge": 32}, "crop_pct": 0.8},
        "Bit": {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}},
        "Levit": {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}},
        "PoolFormer": {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}},
        "EfficientNet": {
            "size": {"height": 32, "width": 32},
            "rescale_offset": True,
            "rescale_factor": 1 / 127.5,
        },
    }
    name = f"{kind}ImageProcessor"
    make = getattr(transformers, f"{name}Pil", None) or getattr(transformers, name)
    processor = make(**options[kind])
    noise = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
    image = Image.fromarray(noise).resize((88, 60), Image.Resampling.BICUBIC)
    config = {**processor.to_dict(), "image_processor_type": name}
    preprocess = from_file(config)
    mine = normalise(to_pixels(image, preprocess)[None], preprocess)[0]
    assert preprocess.color == ("bgr" if kind == "MobileViT" else "rgb")
    np.testing.assert_allclose(mine, hf_pixels(processor, image), atol=1e-5)


def test_an_older_mobilevit_file_means_bgr_without_normalisation() -> None:
    config = {"do_center_crop": True, "do_flip_channel_order": True, "do_resize": True, "resample": 2,
              "size": {"shortest_edge": 288}, "crop_size": 256,
              "feature_extractor_type": "MobileViTFeatureExtractor"}  # fmt: skip
    assert from_file(config) == Preprocess(
        256, 256, (288, 288), True, "bilinear", "bgr", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), orient="exif"
    )


@pytest.mark.parametrize(
    "config",
    [
        {"size": "x"},
        {"image_mean": [1]},
        {"resample": 99},
        {"image_std": [0, 0, 0]},
    ],
)
def test_a_malformed_processor_is_an_input_error(config: dict[str, object]) -> None:
    with pytest.raises(InputError, match="preprocessor_config"):
        from_file(config)


def test_a_step_that_edgevit_does_not_have_is_unsupported() -> None:
    with pytest.raises(UnsupportedError, match="do_pad"):
        from_file({"do_pad": True})
