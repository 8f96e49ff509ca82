"""What a forward pass says that fails: each kind of failure with the hint that mends it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import nn

from edgevit.core.errors import StepError
from edgevit.models._probe import forward

IMAGE = torch.zeros(1, 3, 32, 32)


def model(body: Any) -> nn.Module:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 8, 8)

        def forward(self, *given: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = body(self, *given)
            return result

    return Net()


def fail(message: str) -> Any:
    def body(_module: nn.Module, _image: torch.Tensor) -> None:
        raise ValueError(message)

    return body


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (lambda m, image, mask: m.stem(image) * mask, "called with one image"),
        (lambda m, image: m.stem(image.half()), "converted in float32"),
        (lambda m, image: m.stem(image).flatten(1).double() @ torch.zeros(64, 5), "converted in float32"),
        (lambda m, image: m.stem(image.permute(0, 3, 1, 2)), "images come as .1, channels, height, width"),
        (lambda m, image: m.stem(image)[:, :, :4] + m.stem(image)[:, :, :3], "--image-size"),
        (fail("Input height (32) doesn't match model (224)"), "--image-size"),
        (
            fail("no such key in my table"),
            r"run it as edgevit does: model.eval\(\)\(torch.zeros\(1, 3, 32, 32\)\)",
        ),
    ],
)
def test_the_hint_is_for_what_failed(body: Any, hint: str) -> None:
    with pytest.raises(StepError, match="fails on one 32x32 image") as raised:
        forward(model(body), IMAGE, "net")
    assert re.search(hint, raised.value.hint)
    assert hint == "--image-size" or "--image-size" not in raised.value.hint
