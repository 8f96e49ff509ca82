"""The stretch of operations that has to stay in float32, against all stretches tried one by one."""

from __future__ import annotations

import pytest

from edgevit.graph.float16.float32_segment import find_segment


@pytest.mark.parametrize("first", range(7))
@pytest.mark.parametrize("length", range(1, 7))
def test_the_shortest_stretch_that_holds_all_that_is_needed_is_found(first: int, length: int) -> None:
    sites = [f"s{i}" for i in range(13)]
    needed = set(sites[first : first + length])
    assert find_segment(sites, needed.issubset) == (first, first + length)


def test_it_takes_two_bisections() -> None:
    asked = []

    def reaches(kept: frozenset[str]) -> bool:
        asked.append(kept)
        return {"300", "311"} <= kept

    assert find_segment([str(i) for i in range(1000)], reaches) == (300, 312)
    assert len(asked) <= 20
