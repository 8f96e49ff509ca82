"""Mean and covariance of the hidden neurons of one MLP over all tokens of the calibration images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgevit.core.errors import InputError, UnsupportedError

if TYPE_CHECKING:
    import torch

CHUNK = 32


@dataclass(frozen=True, slots=True)
class HiddenMoments:
    """Of `tokens` vectors: mean, float64 (hidden,), and covariance, float64 (hidden, hidden)."""

    mean: torch.Tensor
    covariance: torch.Tensor
    tokens: int


class _ReachedError(Exception):
    """Ends a forward pass at the layer that was asked for: what follows costs time and says nothing."""


def moments_of_input(module: torch.nn.Module, path: str, inputs: torch.Tensor) -> HiddenMoments:
    """What the Linear layer at `path` is fed when `module` runs on `inputs`, float32 (N, 3, height, width).

    Raises:
        InputError: an activation is not finite.
        UnsupportedError: the layer was traced, but the model runs without calling it.
    """
    import torch

    layer = module.get_submodule(path)
    assert isinstance(layer, torch.nn.Linear), path
    size = layer.in_features
    products = torch.zeros(size, size, dtype=torch.float64)
    total = torch.zeros(size, dtype=torch.float64)
    tokens = 0

    def look(_: torch.nn.Module, args: tuple[Any, ...]) -> None:
        nonlocal tokens
        rows = args[0].detach().reshape(-1, size).double()
        products.addmm_(rows.T, rows)
        total.add_(rows.sum(0))
        tokens += len(rows)
        raise _ReachedError

    handle = layer.register_forward_pre_hook(look)
    try:
        with torch.no_grad():
            for start in range(0, len(inputs), CHUNK):
                try:
                    module(inputs[start : start + CHUNK])
                except _ReachedError:
                    continue
    finally:
        handle.remove()
    if not tokens:
        raise UnsupportedError(
            f"{path} is not called when the model runs, so its input cannot be measured",
            "leave out --prune, or take the unused layer out of the model",
        )
    if not torch.isfinite(products).all():
        raise InputError(
            f"the input of {path} is not finite on the calibration images",
            "check the model's weights and its preprocessing (mean, std)",
        )
    mean = total / tokens
    return HiddenMoments(mean, products / tokens - torch.outer(mean, mean), tokens)
