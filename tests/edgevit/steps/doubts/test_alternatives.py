"""Every alternative is what its flags say, once, and never what was given."""

from __future__ import annotations

import pytest

from edgevit.core.types import Preprocess
from edgevit.models._preprocess import override
from edgevit.steps.doubts.alternatives import alternatives

CAFFE = Preprocess(2, 2, (2, 2), color="bgr", mean=(0.4, 0.45, 0.5), std=(1 / 255,) * 3)


@pytest.mark.parametrize("given", [Preprocess(2, 2, (2, 2)), CAFFE])
@pytest.mark.parametrize(("grey", "turned"), [(False, False), (True, False), (False, True), (True, True)])
def test_the_flags_give_what_was_tried(given: Preprocess, grey: bool, turned: bool) -> None:
    found = alternatives(given, "--preprocess", grey, turned)
    for flags, one in found.items():
        assert override(given, dict(flag.removeprefix("--preprocess ").split("=") for flag in flags)) == one
    assert given not in found.values() and len(set(found.values())) == len(found)
    assert {one.color for one in found.values()} == ({given.color} if grey else {"rgb", "bgr"})


def test_how_many_there_are() -> None:
    """Five normalisations in two orders, without the given one; ImageNet's and CLIP's also turned round."""
    given = Preprocess(2, 2, (2, 2))
    assert [len(alternatives(given, "", *flags)) for flags in ((True,), (False,), (False, True))] == [
        4,
        9,
        11,
    ]
    turned = alternatives(given, "--file-preprocess", turned=True)
    flags = [
        f"--file-preprocess {text}"
        for text in ("color=bgr", "mean=0.406,0.456,0.485", "std=0.225,0.224,0.229")
    ]
    assert turned[tuple(flags)] == Preprocess(
        2, 2, (2, 2), color="bgr", mean=given.mean[::-1], std=given.std[::-1]
    )
