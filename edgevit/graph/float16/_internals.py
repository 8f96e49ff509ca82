"""Normalisations computed with their small internal results in float16.

A runtime that computes in float16 has the input, the variance and epsilon in float16 whatever it sums
them in: a variance beyond 65504 (standard deviation 256) becomes infinite, one below 6e-5 loses bits
and below 3e-8 is 0, and an epsilon below 3e-8 is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edgevit.graph.float16._rounding import half

if TYPE_CHECKING:
    import torch


def compute(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
    """The operation's first result in this arithmetic, None for an operation without such internals."""
    found = _FORMS.get(str(getattr(operation, "_opname", "")))
    return None if found is None else found(args, kwargs)


def _layer_norm(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    import torch

    x, shape, weight, bias, eps = _take(args, kwargs, ("input", "normalized_shape", "weight", "bias", "eps"))
    axes = tuple(range(-len(shape), 0))
    centred = x - x.mean(axes, keepdim=True)
    scaled = centred * _inverse_deviation(
        centred.square().mean(axes, keepdim=True), 1e-5 if eps is None else eps
    )
    scaled = scaled if weight is None else scaled * weight
    return scaled if bias is None else torch.add(scaled, bias)


def _rms_norm(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    import torch

    x, shape, weight, eps = _take(args, kwargs, ("input", "normalized_shape", "weight", "eps"))
    mean = x.square().mean(tuple(range(-len(shape), 0)), keepdim=True)
    scaled: torch.Tensor = x * _inverse_deviation(mean, torch.finfo(x.dtype).eps if eps is None else eps)
    return scaled if weight is None else scaled * weight


def _group_norm(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    x, groups, weight, bias, eps = _take(args, kwargs, ("input", "num_groups", "weight", "bias", "eps"))
    return _grouped(x, groups, weight, bias, 1e-5 if eps is None else eps)


def _native_group_norm(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    x, weight, bias, groups, eps = _take(
        args, kwargs, ("input", "weight", "bias", "group", "eps"), (0, 1, 2, 6, 7)
    )
    return _grouped(x, groups, weight, bias, eps)


def _instance_norm(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
    x, weight, bias, own, eps = _take(
        args, kwargs, ("input", "weight", "bias", "use_input_stats", "eps"), (0, 1, 2, 5, 7)
    )
    return _grouped(x, x.shape[1], weight, bias, eps) if own else None


def _grouped(x: torch.Tensor, groups: int, weight: Any, bias: Any, eps: float) -> torch.Tensor:
    parts = x.reshape(x.shape[0], groups, -1)
    centred = parts - parts.mean(-1, keepdim=True)
    scaled = centred * _inverse_deviation(centred.square().mean(-1, keepdim=True), eps)
    channels = (1, -1, *(1,) * (x.ndim - 2))
    scaled = scaled.reshape(x.shape)
    scaled = scaled if weight is None else scaled * weight.reshape(channels)
    return scaled if bias is None else scaled + bias.reshape(channels)


def _vector_norm(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
    x, order, axes, keep = _take(args, kwargs, ("self", "ord", "dim", "keepdim"))
    if order not in (None, 2, 2.0):
        return None
    axes = tuple(range(x.ndim)) if axes is None else axes
    return half(half(x.square().sum(axes, keepdim=bool(keep))).sqrt())


def _inverse_deviation(variance: torch.Tensor, eps: float) -> torch.Tensor:
    import torch

    small = half(torch.tensor(eps))
    return half(half(half(variance) + small).rsqrt())


def _take(
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    names: tuple[str, ...],
    places: tuple[int, ...] | None = None,
) -> tuple[Any, ...]:
    """Arguments by name, from their places or keywords; None where they are not given."""
    positions = places or tuple(range(len(names)))
    return tuple(
        args[i] if i < len(args) else kwargs.get(name) for i, name in zip(positions, names, strict=True)
    )


_FORMS: dict[str, Callable[[tuple[Any, ...], dict[str, Any]], torch.Tensor | None]] = {
    "layer_norm": _layer_norm,
    "native_layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "_fused_rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "native_group_norm": _native_group_norm,
    "instance_norm": _instance_norm,
    "linalg_vector_norm": _vector_norm,
}
