"""A model that is random in eval mode is refused, with the module where it begins."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from edgevit.core.errors import InputError
from edgevit.core.types import Preprocess, TorchModel
from edgevit.models._spec import build

Function = Callable[[torch.nn.Module, torch.Tensor], torch.Tensor]


class Part(torch.nn.Module):
    """One of the functions below, with a counter for the one that needs it."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self, x)


def dropout(_part: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.dropout(x, 0.5, training=True)


def noise(_part: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    return x + 1e-3 * torch.rand_like(x)


def depth(_part: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Stochastic depth: each channel stays or goes."""
    return x * torch.bernoulli(torch.full((1, x.shape[1], 1, 1), 0.5))


def brightness(_part: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Random on what is not black alone."""
    return x + torch.rand_like(x) * x.abs()


def counter(part: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    part.calls += 1
    return x * part.calls


def steady(_part: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.dropout(x, 0.5, training=False)


def net(function: Function) -> torch.nn.Module:
    torch.manual_seed(0)
    block = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, bias=False), Part(function), torch.nn.Conv2d(8, 8, 1)
    )
    return torch.nn.Sequential(
        block, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 3)
    )


def described(module: torch.nn.Module) -> TorchModel:
    return build(module, name="net", source="python:net.py:net", preprocess=Preprocess(16, 16, (16, 16)))


@pytest.mark.parametrize("function", [dropout, noise, depth, brightness, counter])
def test_randomness_and_state_are_refused_with_the_module_that_begins_it(function: Function) -> None:
    with pytest.raises(InputError, match=r"random in eval mode: .*, beginning with 0\.1 \(Part\)") as caught:
        described(net(function))
    assert caught.value.exit_code == 2 and "self.training" in caught.value.hint


def test_randomness_in_the_outermost_forward_is_not_blamed_on_what_comes_after_it() -> None:
    class Outer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = net(steady)

        def forward(self, x: torch.Tensor) -> object:
            return self.head(x + torch.rand_like(x))

    with pytest.raises(InputError, match="in Outer itself"):
        described(Outer())


def test_a_model_that_gives_the_same_twice_passes_with_dropout_and_all() -> None:
    for module in (net(steady), torch.nn.Sequential(net(steady), torch.nn.Dropout(0.5))):
        (output,) = described(module).spec.outputs
        assert output.shape == (1, 3)
