"""The MODEL text."""

from __future__ import annotations

import pytest

from edgevit.core.errors import UsageError
from edgevit.core.settings.model_text import parse_source
from edgevit.registries import SOURCES


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("demo", ("demo", "")),
        ("timm:vit_tiny_patch16_224.augreg", ("timm", "vit_tiny_patch16_224.augreg")),
        ("hf:google/vit", ("hf", "google/vit")),
        ("hf:C:/models/x", ("hf", "C:/models/x")),
        ("torchvision:vit_b_16", ("torchvision", "vit_b_16")),
        ("keras:net.keras", ("keras", "net.keras")),
        ("python:a/b.py:make", ("python", "a/b.py:make")),
        ("a/b.pt2", ("exported", "a/b.pt2")),
        ("C:/b.pt2", ("exported", "C:/b.pt2")),
    ],
)
def test_splits_each_form(text: str, expected: tuple[str, str]) -> None:
    assert parse_source(text) == parse_source(text, SOURCES.names()) == expected


@pytest.mark.parametrize("text", ["", "timm", "timm:", "demo:x", "exported:x", "resnet18", "a.onnx", ":x"])
def test_anything_else_is_a_usage_error_that_lists_the_forms(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_source(text, SOURCES.names())
    assert "timm" in caught.value.hint


def test_a_mistyped_word_gets_the_nearest() -> None:
    with pytest.raises(UsageError, match="'tim'") as caught:
        parse_source("tim:vit", SOURCES.names())
    assert "did you mean timm" in caught.value.hint


def test_the_known_words_may_be_given() -> None:
    assert parse_source("mine:x", ("mine", "exported")) == ("mine", "x")
    assert parse_source("mine:x") == ("mine", "x")


@pytest.mark.parametrize(
    "text", ["", "resnet18", "timm:", "demo:x", "exported:x", ":x", "C:/model", "https://a/b"]
)
def test_where_they_are_not_known_the_form_still_counts(text: str) -> None:
    with pytest.raises(UsageError):
        parse_source(text)
