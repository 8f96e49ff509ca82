"""Old classes among the new ones, by hand."""

from __future__ import annotations

import pytest

from edgevit.validate.gate.sides import places


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (("a", "b", "c"), ("c", "a", "b"), [1, 2, 0]),
        # renamed where it stands, alone, beside others, and all of them
        (("tabby", "lion", "crane"), ("tabby cat", "lion", "crane"), [0, 1, 2]),
        (("a", "b"), ("x", "y"), [0, 1]),
        # ImageNet's two cranes keep apart, whatever else changes
        (("crane", "lion", "crane"), ("lion", "crane", "crane"), [1, 0, 2]),
        (("crane", "lion", "crane"), ("crane", "lion king", "crane"), [0, 1, 2]),
        # gone: each by itself, so that two of them are not taken for the same
        (("a", "b", "c", "d"), ("d", "a"), [1, -2, -3, 0]),
        # a new name in the place of one that only moved is no renaming
        (("a", "b"), ("x", "a"), [1, -2]),
        (("a", "b"), ("x", "a", "y"), [1, -2]),
    ],
)
def test_places(old: tuple[str, ...], new: tuple[str, ...], expected: list[int]) -> None:
    found = places(old, new)
    assert found == expected and len(set(found)) == len(old)
