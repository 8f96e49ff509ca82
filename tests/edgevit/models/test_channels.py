"""How many channels a model takes, and what `--preprocess` has to say for them."""

from __future__ import annotations

import pytest
import timm
import torch

from edgevit.core.errors import InputError, UsageError
from edgevit.core.plugins import LoadRequest
from edgevit.core.types import Preprocess
from edgevit.formats import preprocess_json
from edgevit.models import timm as source
from edgevit.models._channels import channels_of
from edgevit.models._preprocess import override
from edgevit.models.python import preprocess_of_module

GRAY = Preprocess(8, 8, (8, 8), color="gray", mean=(0.5,), std=(0.5,))


class Head(torch.nn.Module):
    """A convolution that is not the first to run is the first to be registered."""

    def __init__(self) -> None:
        super().__init__()
        self.last = torch.nn.Conv2d(8, 4, 1)
        self.first = torch.nn.Conv2d(3, 8, 3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(image))


def test_the_first_convolution_tells_unless_the_model_takes_colours() -> None:
    assert channels_of(torch.nn.Conv2d(1, 4, 3), (8, 8)) == 1
    assert channels_of(torch.nn.Conv2d(5, 4, 3), (8, 8)) == 5
    assert channels_of(Head(), (8, 8)) == 3
    assert channels_of(torch.nn.Linear(3, 4), (8, 8)) == 3


def _request(**given: object) -> LoadRequest:
    return LoadRequest(source="timm:x", argument="vit_tiny_patch16_224", **given)  # type: ignore[arg-type]


def test_statistics_of_colours_are_not_taken_for_grey() -> None:
    module = timm.create_model("vit_tiny_patch16_224", depth=1, in_chans=1)
    with pytest.raises(UsageError, match="it takes 1 channel, and .* has mean and std of 3") as told:
        preprocess_of_module(module, _request())
    assert "--preprocess mean=M --preprocess std=S" in str(told.value.hint)
    found, _ = preprocess_of_module(module, _request(preprocess={"mean": "0.45", "std": "0.22"}))
    assert (found.color, found.mean, found.std) == ("gray", (0.45,), (0.22,))


def test_timm_makes_and_describes_a_model_for_five_bands() -> None:
    model = source.load(
        _request(
            random_weights=0,
            model_args={"in_chans": "5", "depth": "1"},
            preprocess={"mean": "0.1,0.2,0.3,0.4,0.5", "std": "0.2"},
        )
    )
    found = model.spec.preprocess
    assert (found.color, found.mean, found.std) == ("bands", (0.1, 0.2, 0.3, 0.4, 0.5), (0.2,) * 5)
    assert model.module(torch.zeros(1, 5, 224, 224)).shape == (1, 1000)


def test_preprocess_takes_one_number_for_all_channels_or_one_for_each() -> None:
    assert override(GRAY, {"normalize": "0..255"}).std == (1 / 255,)
    for values in ({"mean": "0.1,0.2,0.3"}, {"color": "bgr"}, {"normalize": "imagenet"}):
        with pytest.raises(UsageError, match="--preprocess"):
            override(GRAY, values)


def test_a_file_carries_as_many_statistics_as_channels() -> None:
    five = Preprocess(8, 8, (8, 8), color="bands", mean=(0.1,) * 5, std=(0.2,) * 5)
    for one in (GRAY, five):
        assert preprocess_json.loads(preprocess_json.dumps(one, "NHWC")).preprocess == one
    text = preprocess_json.dumps(five, "NHWC")
    for wrong in (
        text.replace("bands", "rgb"),
        text.replace('"std": [0.2, ', '"std": ['),
        text.replace("bands", "gray"),
    ):
        with pytest.raises(InputError, match="preprocessing metadata"):
            preprocess_json.loads(wrong)
