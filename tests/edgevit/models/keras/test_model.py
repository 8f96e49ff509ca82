"""What the shape of a Keras model's input says; Keras need not be there for that."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgevit.core.errors import UnsupportedError
from edgevit.core.plugins import LoadRequest
from edgevit.models._keras.model import image_input
from edgevit.models.keras import _preprocess


def model(*shape: int | None, order: str | None = None, first: Any = None) -> Any:
    layers = [SimpleNamespace(weights=[]), SimpleNamespace(data_format=order, weights=[1])]
    return SimpleNamespace(
        inputs=[SimpleNamespace(shape=shape)], layers=[first, *layers] if first else layers
    )


@pytest.mark.parametrize(
    ("shape", "order", "expected"),
    [
        ((None, 32, 24, 3), None, ((32, 24), 3, True)),
        ((None, 3, 32, 24), None, ((32, 24), 3, False)),
        ((None, 28, 28, 1), "channels_last", ((28, 28), 1, True)),
        ((None, 1, 28, 28), "channels_first", ((28, 28), 1, False)),
        ((None, 64, 64, 5), None, ((64, 64), 5, True)),
        ((None, None, None, 1), "channels_last", (None, 1, True)),
    ],
)
def test_channels_are_where_the_input_or_the_first_layer_has_them(
    shape: tuple[int | None, ...], order: str | None, expected: tuple[object, int, bool]
) -> None:
    assert image_input(model(*shape, order=order), Path("m.keras"), None) == expected


@pytest.mark.parametrize("shape", [(None, 10), (None, 8, 32, 32, 1), (None, 32, 32, None)])
def test_what_is_no_image_is_told_with_its_shape(shape: tuple[int | None, ...]) -> None:
    with pytest.raises(UnsupportedError, match="must take one image .* it takes"):
        image_input(model(*shape), Path("m.keras"), None)


def test_a_grey_model_takes_the_range_of_its_own_layer() -> None:
    class Rescaling:
        scale, weights = 1 / 255, ()

    asked = LoadRequest("keras:m.keras", "m.keras")
    found, origin = _preprocess(model(None, 8, 8, 1, first=Rescaling()), (8, 8), 1, asked)
    assert (found.color, found.mean, found.std) == ("gray", (0.0,), (1 / 255,)) and "Rescaling" in origin
