"""Remove hidden neurons of transformer MLPs and fold their work into the next layer, without training.

An MLP is Linear (hidden, width), an activation, Linear (width, hidden), found in the traced program whatever its
classes are called (`_pairs`). For each of them, in execution order:

1. Run the model, already pruned up to here, on the calibration images and measure mean (hidden,) and covariance
   (hidden, hidden) of what enters the second layer, over all tokens (`_moments`).
2. Choose the neurons to keep and solve for the second layer's new weight (width, kept) and bias (width,) by least
   squares (`_select`, where the equations and sources are).
3. Cut the rows of the first layer: weight (kept, width) and bias (kept,).

Tensors become really smaller: fewer parameters and multiply-accumulates in every format. Measuring behind the layers
that are pruned already lets each one correct what those before it lost.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import TYPE_CHECKING

from edgevit.core.disk.digest import module_digest
from edgevit.core.errors import InputError, UnsupportedError, UsageError
from edgevit.core.plugins import Method
from edgevit.core.types import TorchModel
from edgevit.prune import _moments, _pairs, _select

if TYPE_CHECKING:
    import torch


def prune(model: TorchModel, amount: float, inputs: torch.Tensor) -> tuple[TorchModel, tuple[str, ...]]:
    """Remove the fraction `amount` of the hidden neurons of every MLP (Linear -> activation -> Linear).

    The layers are done in execution order, each measured behind its already pruned predecessors. The
    number kept is a multiple of 8 where that leaves any choice.

    Args:
        model: untouched.
        amount: between 0 and 1, both excluded.
        inputs: normalised calibration images, float32 (N, 3, height, width).

    Returns:
        A copy whose tensors are really smaller, and one line per MLP: neurons before and after, and the
        fraction of its output's variance that is lost.

    Raises:
        UsageError: `amount` is out of range.
        InputError: no images, or activations that are not finite.
        UnsupportedError: the model cannot be traced or has no such MLP.
    """
    if not 0 < amount < 1:
        raise UsageError(
            f"--prune mlp={amount:g}: the amount is the fraction of neurons to remove",
            "it must lie between 0 and 1, for example mlp=0.25",
        )
    if not len(inputs):
        raise InputError(
            "pruning needs calibration images and there is none", "give --calibrate a folder of images"
        )
    module = copy.deepcopy(model.module).eval()
    pairs = [p for p in _pairs.find_pairs(module, inputs[:1]) if _hidden(module, p) > 1]
    if not pairs:
        raise UnsupportedError(
            f"{model.spec.name} has no transformer MLP (Linear, activation, Linear) to prune",
            "leave out --prune mlp=...",
        )
    lines = tuple(_prune_pair(module, pair, amount, inputs) for pair in pairs)
    spec = dataclasses.replace(
        model.spec,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        weights_sha256=module_digest(module),
    )
    return TorchModel(spec, module), lines


def _hidden(module: torch.nn.Module, pair: _pairs.Pair) -> int:
    return int(_linear(module, pair.second).weight.shape[1])


def _linear(module: torch.nn.Module, path: str) -> torch.nn.Linear:
    import torch

    layer = module.get_submodule(path)
    assert isinstance(layer, torch.nn.Linear), path
    return layer


def _prune_pair(module: torch.nn.Module, pair: _pairs.Pair, amount: float, inputs: torch.Tensor) -> str:
    first, second = _linear(module, pair.first), _linear(module, pair.second)
    hidden = _hidden(module, pair)
    moments = _moments.moments_of_input(module, pair.second, inputs)
    fold = _select.select(moments, second.weight, second.bias, _select.keep_count(hidden, amount))
    keep = len(fold.kept)
    _resize(first, first.weight[fold.kept], None if first.bias is None else first.bias[fold.kept])
    _resize(second, fold.weight, fold.bias)
    return (
        f"{pair.first} -> {pair.second}: {hidden} -> {keep} hidden neurons ({100 * (keep / hidden - 1):.1f} % MACs), "
        f"{_percent(fold.error)} of the output's variance on the calibration images lost "
        f"({_percent(fold.error_unfolded)} without the fold)"
    )


def _resize(layer: torch.nn.Linear, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
    """Give a Linear other tensors in place, so that its path, hooks and class stay."""
    import torch

    old = layer.weight
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None:
            value = tensor.detach().to(old.dtype).contiguous()
            setattr(layer, name, torch.nn.Parameter(value, requires_grad=old.requires_grad))
    layer.out_features, layer.in_features = weight.shape


def _percent(fraction: float) -> str:
    digits = 2 if fraction <= 0 else max(0, 1 - math.floor(math.log10(fraction * 100)))
    return f"{100 * max(fraction, 0):.{min(digits, 4)}f} %"


METHOD = Method(summary="Remove hidden neurons of MLPs, folding their work into the next layer.", prune=prune)
