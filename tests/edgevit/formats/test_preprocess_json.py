"""The JSON that artifacts carry."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edgevit.core.errors import InputError
from edgevit.core.types import Preprocess
from edgevit.formats.preprocess_json import dumps, loads

GIVEN = Preprocess(224, 192, (256, 256), True, "bilinear", "bgr", (0.1, 0.2, 0.3), (0.4, 0.5, 1.0), "exif")


def test_survives_writing_and_reading() -> None:
    assert loads(dumps(GIVEN, "NHWC"))[:2] == (GIVEN, "NHWC")


def test_is_plain_json_with_the_documented_keys() -> None:
    data = json.loads(dumps(GIVEN, "image"))
    assert data == {
        "height": 224, "width": 192, "resize": [256, 256], "shorter_side": True, "interpolation": "bilinear",
        "color": "bgr", "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 1.0], "orient": "exif", "border": None,
        "layout": "image",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("height", 0), ("height", "224"), ("height", True), ("width", 1.5), ("resize", [256]), ("resize", 256),
        ("shorter_side", 1), ("interpolation", "cubic"), ("color", ["rgb"]), ("mean", [0, 0]), ("mean", [0, 0, "a"]),
        ("mean", [0, 0, float("nan")]), ("std", [1, 0, 1]), ("std", None), ("layout", "CHWN"),
        ("orient", "up"), ("orient", None), ("border", [1, 2, 3]),
    ],
)  # fmt: skip
def test_a_wrong_value_names_its_key(key: str, value: object) -> None:
    data = json.loads(dumps(GIVEN, "NCHW")) | {key: value}
    with pytest.raises(InputError, match=key):
        loads(json.dumps(data))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "[" * 100_000])
def test_what_is_not_the_object_is_an_input_error(text: str) -> None:
    with pytest.raises(InputError):
        loads(text)


def test_a_border_is_one_byte_for_each_channel_and_fits_the_whole_image() -> None:
    given = replace(GIVEN, shorter_side=False, border=(0, 127, 255))
    assert loads(dumps(given, "NCHW"))[0] == given
    for wrong in ([1, 2], [1, 2, 256], [1, -2, 3], [1, 2.0, 3], [1, True, 3], 127, "127"):
        with pytest.raises(InputError, match="border"):
            loads(json.dumps(json.loads(dumps(given, "NCHW")) | {"border": wrong}))


def test_a_missing_key_is_named() -> None:
    data = json.loads(dumps(GIVEN, "NCHW"))
    del data["mean"]
    with pytest.raises(InputError, match="mean"):
        loads(json.dumps(data))


def test_files_that_say_nothing_of_orientation_take_pixels_as_they_are_stored() -> None:
    data = json.loads(dumps(GIVEN, "NCHW"))
    del data["orient"]
    assert loads(json.dumps(data))[0].orient == "none"
