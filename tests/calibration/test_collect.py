"""Statistics against numbers computed by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch

from calibration.collect import collect
from calibration.observers import channel_absmax, channel_moments, minmax
from edgevit.core.errors import InputError

Look = Callable[[str, torch.Tensor], Mapping[str, torch.Tensor]]
OBSERVERS = {
    "minmax": minmax.OBSERVER,
    "channel_absmax": channel_absmax.OBSERVER,
    "channel_moments": channel_moments.OBSERVER,
}


def three_images(look: Look) -> dict[str, torch.Tensor]:
    """Tensors `a` and `b` of three images, each (1, 2, 2): rows are tokens, columns channels."""
    values = [[[1.0, -5.0], [2.0, 0.0]], [[-3.0, 4.0], [0.5, 1.0]], [[0.0, 0.0], [9.0, -1.0]]]
    seen = [{**look("a", torch.tensor([v])), **look("b", -torch.tensor([v]))} for v in values]
    return {key: torch.stack([s[key] for s in seen]) for key in seen[0]}


def test_extremes_are_those_of_all_images() -> None:
    stats = collect(three_images, {"a": ("minmax", "channel_absmax"), "b": ("minmax",)}, OBSERVERS, 3)
    assert stats.images == 3
    assert {key: value.tolist() for key, value in stats.values.items()} == {
        ("a", "minmax"): [-5.0, 9.0],
        ("a", "channel_absmax"): [9.0, 5.0],
        ("b", "minmax"): [-9.0, 5.0],
    }
    assert all(value.dtype == "float32" for value in stats.values.values())


def test_variance_is_that_of_all_rows_at_once() -> None:
    value = collect(three_images, {"a": ("channel_moments",)}, OBSERVERS, 3).values["a", "channel_moments"]
    rows = torch.tensor([[1.0, -5.0], [2.0, 0.0], [-3.0, 4.0], [0.5, 1.0], [0.0, 0.0], [9.0, -1.0]])
    assert value[0] == pytest.approx(rows.mean(0).numpy(), abs=1e-6)
    assert value[1] == pytest.approx(rows.var(0, correction=0).numpy(), rel=1e-6)


def test_a_tensor_that_nobody_wants_is_not_measured() -> None:
    assert set(collect(three_images, {"b": ("minmax",)}, OBSERVERS, 3).values) == {("b", "minmax")}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_an_activation_that_is_not_finite_is_named(bad: float) -> None:
    def run(look: Look) -> dict[str, torch.Tensor]:
        seen = [look("blocks.3:add", torch.tensor([[1.0, value]])) for value in (2.0, bad)]
        return {key: torch.stack([s[key] for s in seen]) for key in seen[0]}

    with pytest.raises(InputError, match="blocks.3:add is not finite"):
        collect(run, {"blocks.3:add": ("minmax",)}, OBSERVERS, 2)
