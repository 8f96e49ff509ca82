"""Answers of images come back as they were packed, small and the same bytes each time; damage is one clear error."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import replace

import numpy as np
import pytest

from edgevit.core._plain import from_plain, to_plain
from edgevit.core.errors import InputError
from edgevit.core.results import outcomes as o

RANDOM = np.random.default_rng(0)


def document(images: int, classes: int, files: int) -> o.Outcomes:
    """Files that agree with the float model on 97 % of the images."""
    labels = np.sort(RANDOM.integers(0, classes, images))
    reference = np.where(RANDOM.random(images) < 0.8, labels, RANDOM.integers(0, classes, images))

    def answers(target: str, precision: str, found: np.ndarray) -> o.Answers:
        return o.Answers(
            target=target,
            precision=precision,
            answer=o.pack_indices(found),
            correct=o.pack_bits(found == labels),
            top5=o.pack_bits((found == labels) | (RANDOM.random(images) < 0.1)),
            margin=o.pack_floats(RANDOM.exponential(2.0, images)),
        )

    others = [np.where(RANDOM.random(images) < 0.97, reference, labels) for _ in range(files)]
    return o.Outcomes(
        path="photos/val",
        digest="ab" * 32,
        count=images,
        names=o.pack_names([f"class_{label:04d}/IMG_{i:05d}.jpg" for i, label in enumerate(labels)]),
        labels=o.pack_indices(labels),
        reference=answers("", "", reference),
        artifacts=tuple(answers("onnx", f"p{i}", found) for i, found in enumerate(others)),
    )


def test_ten_thousand_images_and_six_files_stay_below_a_megabyte() -> None:
    text = json.dumps(to_plain(document(10_000, 1000, 6)))
    assert len(text) < 1_000_000
    assert from_plain(o.Outcomes, json.loads(text), "outcomes") == from_plain(
        o.Outcomes, json.loads(text), "x"
    )


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 1000])
def test_values_come_back(count: int) -> None:
    bits = RANDOM.random(count) < 0.5
    assert np.array_equal(o.unpack(o.pack_bits(bits), count, "x"), bits)
    for most in (3, 300, 70_000):
        values = RANDOM.integers(0, most, count)
        assert np.array_equal(o.unpack(o.pack_indices(values), count, "x"), values)
    floats = RANDOM.normal(0, 100, count)
    back = o.unpack(o.pack_floats(floats), count, "x")
    np.testing.assert_allclose(back, floats, rtol=2**-11)
    names = tuple(f"Ordner/ä {i}\n.jpg" for i in range(count))
    assert o.unpack_names(o.pack_names(names), count, "x") == names


def test_the_smallest_type_that_holds_all_is_taken_and_numbers_stay_finite() -> None:
    assert [o.pack_indices(np.array([n])).type for n in (255, 256, 65_535, 65_536)] == [
        "uint8",
        "uint16",
        "uint16",
        "uint32",
    ]
    with pytest.raises(ValueError, match="not negative"):
        o.pack_indices(np.array([-1]))
    assert o.unpack(o.pack_floats(np.array([1e9, -np.inf])), 2, "x").tolist() == [65504.0, -65504.0]


def packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


GOOD = o.pack_indices(np.arange(100))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (replace(GOOD, data=GOOD.data[:-8]), "no compressed data|more or less"),
        (replace(GOOD, data="nonsense!"), "no compressed data"),
        (replace(GOOD, data=packed(bytes(99))), "99 bytes where 100 images take 100"),
        (replace(GOOD, data=packed(bytes(101))), "more or less data"),
        (replace(GOOD, data=packed(bytes(1 << 26))), "more or less data"),  # 64 MB out of 64 kB
        (replace(GOOD, type="uint16"), "100 bytes where 100 images take 200"),
        (o.Column("float16", packed(np.full(100, np.nan, "<f2").tobytes())), "not finite"),
        (o.pack_names(["a"]), "text where numbers"),
    ],
    ids=["cut", "no base64", "short", "long", "bomb", "type", "nan", "names"],
)
def test_damage_is_one_error_that_names_the_place(column: o.Column, message: str) -> None:
    with pytest.raises(InputError, match=f"onnx/w8a8 answer: .*({message})") as raised:
        o.unpack(column, 100, "onnx/w8a8 answer")
    assert raised.value.hint


@pytest.mark.parametrize(
    "column",
    [
        o.pack_names(["a", "a"]),
        o.pack_names(["a"]),
        o.Column("text", packed(b'{"a": 1}')),
        o.Column("text", packed(b"[1, 2]")),
        o.Column("text", packed(b"\xff\xfe")),
        o.Column("text", packed(b"[" * 5000)),
        GOOD,
    ],
    ids=["twice", "few", "object", "numbers", "no text", "deep", "numbers column"],
)
def test_names_that_are_none_are_refused(column: o.Column) -> None:
    with pytest.raises(InputError, match="names: "):
        o.unpack_names(column, 2, "names")
