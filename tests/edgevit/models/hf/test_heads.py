"""Heads of Hugging Face models other than a classifier: dense outputs, embeddings, backbones, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edgevit.core.errors import UnsupportedError
from edgevit.core.plugins import LoadRequest
from edgevit.core.types import TorchModel
from edgevit.models.hf import SOURCE

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
TOWER = {**SIZES, "image_size": 32, "patch_size": 8}
IMAGE = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def load(folder: Path, **options: Any) -> TorchModel:
    options = {"preprocess": {"normalize": "imagenet"}, "image_size": (32, 32), **options}
    return SOURCE.load(LoadRequest(f"hf:{folder}", str(folder), **options))


def outputs(model: TorchModel) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        found = model.module(IMAGE)
    found = (found,) if isinstance(found, torch.Tensor) else found
    return dict(zip([o.name for o in model.spec.outputs], found, strict=True))


def segformer() -> Any:
    import transformers as t

    config = t.SegformerConfig(num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 16],
                               patch_sizes=[3, 3], strides=[2, 2], num_attention_heads=[1, 2], mlp_ratios=[2, 2],
                               decoder_hidden_size=16, num_labels=5)  # fmt: skip
    return t.SegformerForSemanticSegmentation(config)


def depth_anything() -> Any:
    import transformers as t

    backbone = t.Dinov2Config(**TOWER, out_features=["stage1", "stage2"], reshape_hidden_states=False)
    config = t.DepthAnythingConfig(backbone_config=backbone, patch_size=8, reassemble_hidden_size=16,
                                   reassemble_factors=[2, 1], neck_hidden_sizes=[8, 16], fusion_hidden_size=8,
                                   head_in_channels=8, head_hidden_size=8)  # fmt: skip
    return t.DepthAnythingForDepthEstimation(config)


def clip_tower() -> Any:
    import transformers as t

    return t.CLIPVisionModelWithProjection(t.CLIPVisionConfig(**TOWER, projection_dim=12))


def siglip_tower() -> Any:
    import transformers as t

    return t.SiglipVisionModel(t.SiglipVisionConfig(**TOWER))


def convnext_backbone() -> Any:
    import transformers as t

    config = t.ConvNextConfig(
        depths=[1, 1], hidden_sizes=[8, 16], num_stages=2, out_features=["stage1", "stage2"]
    )
    return t.ConvNextBackbone(config)


def named(model: Any) -> dict[str, torch.Tensor]:
    """What transformers itself gives."""
    with torch.no_grad():
        return {key: value for key, value in model(pixel_values=IMAGE).items() if torch.is_tensor(value)}


def maps(model: Any) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return dict(zip(("stage1", "stage2"), model(IMAGE).feature_maps, strict=True))


@pytest.mark.parametrize(
    ("make", "theirs", "first", "shape"),
    [
        (segformer, named, "logits", (1, 5, 16, 16)),
        (depth_anything, named, "predicted_depth", (1, 32, 32)),
        (clip_tower, named, "image_embeds", (1, 12)),
        (siglip_tower, named, "last_hidden_state", (1, 16, 16)),
        (convnext_backbone, maps, "stage1", (1, 8, 8, 8)),
    ],
)
def test_the_named_head_gives_what_transformers_gives(
    make: Callable[[], Any], theirs: Callable[[Any], dict[str, torch.Tensor]], first: str, shape: tuple[int, ...],
    tmp_path: Path,
) -> None:  # fmt: skip
    torch.manual_seed(0)
    net = make().eval()
    net.save_pretrained(tmp_path)
    model = load(tmp_path)
    expected = theirs(net)
    assert next((o.name, o.shape) for o in model.spec.outputs) == (first, shape)
    assert model.spec.output.task == "features" and model.spec.labels == ()
    found = outputs(model)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name])


def test_segmentation_takes_the_number_of_classes_of_its_weights_and_of_the_flag(tmp_path: Path) -> None:
    segformer().save_pretrained(tmp_path)
    assert load(tmp_path, num_classes=7, random_weights=0).spec.outputs[0].shape == (1, 7, 16, 16)
    path = tmp_path / "config.json"
    config = {k: v for k, v in json.loads(path.read_text()).items() if k not in ("id2label", "label2id")}
    path.write_text(json.dumps(config))  # then transformers itself takes two
    assert load(tmp_path).spec.outputs[0].shape == (1, 5, 16, 16)


def test_of_a_pair_of_towers_the_image_s_is_taken_alone(tmp_path: Path) -> None:
    import transformers as t

    torch.manual_seed(0)
    text = {**SIZES, "vocab_size": 1000}
    net = t.CLIPModel(t.CLIPConfig(text_config=text, vision_config=TOWER, projection_dim=12)).eval()
    net.save_pretrained(tmp_path)
    model = load(tmp_path, preprocess={})
    with torch.no_grad():
        expected = net.get_image_features(pixel_values=IMAGE).pooler_output
    assert [o.name for o in model.spec.outputs] == ["image_embeds"]
    torch.testing.assert_close(outputs(model)["image_embeds"], expected)
    images = sum(p.numel() for part in (net.vision_model, net.visual_projection) for p in part.parameters())
    assert model.spec.parameters == images + 1  # the temperature of the pair
    # what CLIP's own processor does
    assert model.spec.preprocess.mean[0] == pytest.approx(0.48145466)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("detr", "DetrForObjectDetection"),
        ("mask2former", "Mask2FormerForUniversalSegmentation"),
        ("blip", "BlipForConditionalGeneration"),
        ("vit_mae", "ViTMAEForPreTraining"),
        ("vit", "ViTForMaskedImageModeling"),
        ("bert", "BertForSequenceClassification"),
    ],
)
def test_other_heads_are_refused_by_their_name(kind: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, "architectures": [name]}))
    with pytest.raises(UnsupportedError, match=f"config.json names {name}") as told:
        load(tmp_path, random_weights=0)
    assert "python:FILE:FACTORY" in told.value.hint and "semantic segmentation" in told.value.hint


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("bert", "BertModel", "BertModel takes input_ids, not images"),
        ("grounding-dino", "GroundingDinoModel", "GroundingDinoModel takes input_ids beside the image"),
    ],
)
def test_a_model_that_takes_more_than_an_image_is_refused(
    kind: str, name: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, "architectures": [name]}))
    with pytest.raises(UnsupportedError, match=words):
        load(tmp_path, random_weights=0)


@pytest.mark.parametrize("channels", [3, 1])
def test_a_backbone_of_timm_is_that_backbone(channels: int, tmp_path: Path) -> None:
    import transformers as t

    torch.manual_seed(0)
    config = t.TimmBackboneConfig(backbone="resnet10t", out_indices=[1, 2], num_channels=channels)
    net = t.TimmBackbone(config).eval()
    net.save_pretrained(tmp_path)
    model = load(tmp_path, image_size=(32, 32), preprocess={"normalize": "-1..1"})
    assert model.spec.preprocess.channels == channels
    image = torch.randn(1, channels, 32, 32)
    with torch.no_grad():
        found, expected = model.module(image), net(pixel_values=image).feature_maps
    assert [o.name for o in model.spec.outputs] == list(net.out_features)
    for value, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(value, wanted)


def test_a_wrapped_model_of_timm_without_a_head_gives_its_features(tmp_path: Path) -> None:
    import transformers as t

    torch.manual_seed(0)
    arguments = {"depth": 1, "embed_dim": 24, "num_heads": 2, "img_size": 32}
    net = t.TimmWrapperModel(
        t.TimmWrapperConfig(architecture="vit_tiny_patch16_224", model_args=arguments)
    ).eval()
    net.save_pretrained(tmp_path)
    model = load(tmp_path, image_size=(32, 32), preprocess={"normalize": "-1..1"})
    expected = named(net)
    found = outputs(model)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name])


def test_siglip_2_of_a_fixed_resolution_is_taken_and_patches_of_any_shape_are_refused(tmp_path: Path) -> None:
    """The first kind says siglip in config.json, the second (NaFlex) siglip2."""
    import transformers as t

    torch.manual_seed(0)
    text = {**SIZES, "vocab_size": 50, "max_position_embeddings": 16}
    net = t.SiglipModel(t.SiglipConfig(vision_config=TOWER, text_config=text)).eval()
    net.save_pretrained(tmp_path / "fixed")
    (tmp_path / "fixed" / "preprocessor_config.json").write_text(
        json.dumps(
            {
                "image_processor_type": "SiglipImageProcessor",
                "image_mean": [0.5] * 3,
                "image_std": [0.5] * 3,
                "size": {"height": 32, "width": 32},
                "resample": 2,
            }
        )
    )
    model = load(tmp_path / "fixed", preprocess={})
    with torch.no_grad():
        expected = net.get_image_features(pixel_values=IMAGE).pooler_output
    torch.testing.assert_close(outputs(model)["image_embeds"], expected)
    assert model.spec.preprocess.interpolation == "bilinear" and not model.spec.preprocess.shorter_side
    folder = tmp_path / "any"
    folder.mkdir()
    for name in ("Siglip2Model", "Siglip2VisionModel", "Siglip2ForImageClassification"):
        kind = "siglip2_vision_model" if "Vision" in name else "siglip2"
        (folder / "config.json").write_text(json.dumps({"model_type": kind, "architectures": [name]}))
        with pytest.raises(UnsupportedError, match=f"{name} takes patches") as told:
            load(folder, random_weights=0)
        assert "google/siglip2-base-patch16-224" in told.value.hint
