from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from edgevit.core.errors import InputError, UnsupportedError
from edgevit.core.types import Preprocess, TensorSpec
from edgevit.models._spec import build, check_labels, output_kind

LOGITS = TensorSpec("logits", (1, 2), "float32")


def test_a_label_that_no_file_can_hold_is_named() -> None:
    check_labels(("chat", "猫"), LOGITS, output_kind(LOGITS))
    with pytest.raises(InputError, match=r"label 1, 'a\\ud83d', is not valid Unicode"):
        check_labels(("chat", "a\ud83d"), LOGITS, output_kind(LOGITS))


def described(outputs: Callable[[torch.Tensor], Any], **settings: Any) -> Any:
    class Net(nn.Module):
        def forward(self, image: torch.Tensor) -> Any:
            return outputs(image.mean((2, 3)))

    return build(Net(), name="net", source="python:net", preprocess=Preprocess(8, 8, (8, 8)), **settings)


@pytest.mark.parametrize(
    ("outputs", "told", "hint"),
    [
        (lambda x: x.argmax(1), "output logits of python:net holds int64 numbers", "before argmax"),
        (
            lambda x: torch.fft.fft(x),
            "output logits of python:net holds complex64 numbers",
            "scores themselves",
        ),
        (
            lambda x: x.squeeze(0),
            r"output logits of python:net has shape \(3,\) for one image",
            "keep that axis",
        ),
    ],
)
def test_outputs_that_are_no_scores_are_told_by_what_they_are(outputs: Any, told: str, hint: str) -> None:
    with pytest.raises(UnsupportedError, match=told) as raised:
        described(outputs)
    assert hint in raised.value.hint


def test_labels_of_one_of_several_heads_need_its_name() -> None:
    with pytest.raises(InputError, match="3 labels for a model with 2 outputs") as raised:
        described(lambda x: {"color": x, "shape": x + 1}, labels=("a", "b", "c"))
    assert raised.value.hint == "say whose names they are: --labels color=FILE or --labels shape=FILE"
