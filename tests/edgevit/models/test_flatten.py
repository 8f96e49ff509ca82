"""Outputs in tuples, mappings, dataclasses and None: which tensors, under which names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from edgevit.core.errors import UnsupportedError
from edgevit.core.types import Preprocess
from edgevit.models._flatten import named_tensors
from edgevit.models._spec import build


@dataclass
class Heads:
    logits: torch.Tensor
    aux: tuple[torch.Tensor, ...]
    loss: torch.Tensor | None = None


class Pair(NamedTuple):
    age: torch.Tensor
    box: torch.Tensor


ROW, MAP, BOX = torch.zeros(1, 3), torch.zeros(1, 2, 4, 4), torch.zeros(1, 4)


@pytest.mark.parametrize(
    ("found", "names"),
    [
        (ROW, ["logits"]),
        (MAP, ["features"]),
        ((ROW, BOX), ["logits", "output_1"]),
        ((ROW, None, BOX), ["logits", "output_2"]),
        ((None, ROW), ["logits"]),
        ([MAP, MAP.clone()], ["features", "output_1"]),
        ((ROW, [MAP, None, BOX]), ["logits", "output_1_0", "output_1_2"]),
        ((ROW, {"box": BOX}), ["logits", "output_1_box"]),
        ({"box": BOX, "logits": ROW, "loss": None}, ["logits", "box"]),
        ({"aux": {"box.one": BOX}, 3: ROW}, ["aux_box_one", "3"]),
        (Heads(ROW, (MAP, BOX)), ["logits", "aux_0", "aux_1"]),
        (Pair(ROW, BOX), ["age", "box"]),
    ],
)
def test_every_tensor_has_a_name_that_says_where_it_was(found: Any, names: list[str]) -> None:
    _, values, lost = named_tensors(found, 3, "it")
    assert list(values) == names and not lost


def test_what_is_no_tensor_is_told_and_two_of_one_name_are_refused() -> None:
    assert named_tensors({"logits": ROW, "scale": 2.0}, 3, "it")[2] == ("scale (float)",)
    with pytest.raises(UnsupportedError, match="returns dict without a tensor"):
        named_tensors({"loss": None, "scale": 2.0}, 3, "it")
    with pytest.raises(UnsupportedError, match="two outputs of it would be called a_b"):
        named_tensors({"a": {"b": ROW}, "a_b": BOX}, 3, "it")


@pytest.mark.parametrize(
    ("given", "names", "lost"),
    [
        ((ROW, ROW.argmax(1)), ["logits"], ("output_1 (int64 numbers)",)),
        ((ROW.argmax(1), ROW), ["logits"], ("output_0 (int64 numbers)",)),
        (
            {"ids": ROW.long(), "mask": ROW > 0, "boxes": BOX},
            ["boxes"],
            ("ids (int64 numbers)", "mask (bool numbers)"),
        ),
        ({"z": torch.fft.fft(ROW), "logits": ROW}, ["logits"], ("z (complex64 numbers)",)),
        (ROW.argmax(1), ["logits"], ()),  # refused by its type, since nothing else is there
    ],
)
def test_integers_beside_floats_are_left_out_by_name(
    given: Any, names: list[str], lost: tuple[str, ...]
) -> None:
    _, values, told = named_tensors(given, 3, "it")
    assert (list(values), told) == (names, lost)


class Net(nn.Module):
    """One linear layer on the means; what it returns is put together by `give`."""

    def __init__(self, give: Any) -> None:
        super().__init__()
        self.head, self.give = nn.Linear(3, 5), give

    def forward(self, image: torch.Tensor) -> Any:
        mean = image.mean((2, 3))
        return self.give(self.head(mean), mean, image)


@pytest.mark.parametrize(
    ("give", "names"),
    [
        (lambda row, mean, image: Heads(row, (mean, image)), ("logits", "aux_0", "aux_1")),
        (lambda row, mean, image: (row, None, [mean, image]), ("logits", "output_2_0", "output_2_1")),
        (
            lambda row, mean, image: {"a": mean, "logits": row, "b": {"c": image}, "n": 1},
            ("logits", "a", "b_c"),
        ),
        (lambda row, mean, image: (row.argmax(1), row, mean, image), ("logits", "output_2", "output_3")),
    ],
)
def test_the_model_gives_just_these(give: Any, names: tuple[str, ...]) -> None:
    net = Net(give)
    model = build(net, name="net", source="it", preprocess=Preprocess(8, 8, (8, 8)))
    assert tuple(output.name for output in model.spec.outputs) == names
    image = torch.randn(2, 3, 8, 8)
    mean = image.mean((2, 3))
    assert all(
        torch.equal(a, b) for a, b in zip(model.module(image), (net.head(mean), mean, image), strict=True)
    )
    assert any("n (int)" in text for text in model.spec.warnings) == ("b_c" in names)
