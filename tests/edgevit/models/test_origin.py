"""Preprocessing is taken from where it is stated, told, and asked for where nothing states it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgevit.core.errors import UsageError
from edgevit.core.plugins import LoadRequest
from edgevit.core.types import NOT_STATED, Preprocess
from edgevit.models._origin import not_stated, stated
from edgevit.models._preprocess import NORMALIZATIONS, override

SIZE = (32, 48)


def request(**changes: object) -> LoadRequest:
    return LoadRequest("python:net.py:make", "net.py:make", **changes)  # type: ignore[arg-type]


def test_trained_weights_without_statistics_stop_with_the_keys_to_give() -> None:
    for given in ({}, {"mean": "0.5"}, {"std": "0.5"}, {"color": "bgr"}):
        with pytest.raises(UsageError, match=r"nothing says .* python:net\.py:make: no file") as caught:
            not_stated(request(preprocess=given, weights=Path("w.pth")), SIZE, "no file")
        for key in ("normalize=imagenet", "mean=", "std=", "color=bgr", "resize=", "interpolation="):
            assert key in caught.value.hint
        assert caught.value.exit_code == 2


def test_given_statistics_are_taken_and_what_is_assumed_is_told() -> None:
    found, origin = not_stated(request(preprocess={"mean": "0.1", "std": "0.2"}), SIZE, "")
    assert found == Preprocess(32, 48, SIZE, mean=(0.1,) * 3, std=(0.2,) * 3)
    assert origin == "--preprocess (mean, std); assumed: color=rgb, resize=32x48, interpolation=bicubic"
    whole = {"normalize": "0..1", "color": "bgr", "resize": "40", "interpolation": "bilinear"}
    found, origin = not_stated(request(preprocess=whole), SIZE, "")
    assert found == Preprocess(32, 48, (40, 40), True, "bilinear", "bgr", (0.0,) * 3, (1.0,) * 3)
    assert origin == "--preprocess (normalize, color, resize, interpolation)"


def test_random_weights_get_imagenet_s_values_and_say_so() -> None:
    found, origin = not_stated(request(random_weights=0, preprocess={"color": "bgr"}), SIZE, "")
    assert found == Preprocess(32, 48, SIZE, color="bgr")
    assert origin == "ImageNet, since random weights have none, except color, given by --preprocess"


def test_a_look_at_the_graph_alone_does_not_ask() -> None:
    assert not_stated(request(needs_preprocess=False), SIZE, "")[1] == NOT_STATED


def test_what_the_user_changes_is_told_beside_what_the_model_states() -> None:
    own = Preprocess(32, 48, SIZE)
    assert stated(own, "a file", request()) == (own, "a file")
    changed, origin = stated(own, "a file", request(preprocess={"std": "0.5"}))
    assert changed.std == (0.5,) * 3 and origin == "a file, except std, given by --preprocess"


def test_the_names_of_normalisations_are_those_of_timm_s_and_transformers_constants() -> None:
    from timm.data import constants
    from transformers import image_utils

    pairs = {
        "imagenet": (constants.IMAGENET_DEFAULT_MEAN, constants.IMAGENET_DEFAULT_STD),
        "clip": (image_utils.OPENAI_CLIP_MEAN, image_utils.OPENAI_CLIP_STD),
        "-1..1": (constants.IMAGENET_INCEPTION_MEAN, constants.IMAGENET_INCEPTION_STD),
    }
    for name, (mean, std) in pairs.items():
        assert NORMALIZATIONS[name] == (tuple(mean), tuple(std))
    for name, (black, white) in {"-1..1": (-1, 1), "0..1": (0, 1), "0..255": (0, 255)}.items():
        (mean, *_), (std, *_) = NORMALIZATIONS[name]
        assert (0 - mean) / std == pytest.approx(black) and (1 - mean) / std == pytest.approx(white)
    with pytest.raises(UsageError, match="not both"):
        override(Preprocess(8, 8, (8, 8)), {"normalize": "clip", "mean": "0.5"})
    with pytest.raises(UsageError, match=r"normalize=half.*imagenet, clip"):
        override(Preprocess(8, 8, (8, 8)), {"normalize": "half"})
