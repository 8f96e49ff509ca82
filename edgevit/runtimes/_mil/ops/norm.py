"""MIL normalisations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgevit.runtimes._mil.kernel import Kernel, Kernels

if TYPE_CHECKING:
    from torch import Tensor


def _affine(y: Tensor, gamma: Tensor | None, beta: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    if gamma is not None:
        y = y * gamma.reshape(shape)
    return y if beta is None else y + beta.reshape(shape)


def _standardize(x: Tensor, axes: list[int], epsilon: float) -> Tensor:
    centred = x - x.mean(axes, keepdim=True)
    return centred * (centred.square().mean(axes, keepdim=True) + epsilon).rsqrt()


def layer_norm(
    x: Tensor,
    axes: list[int] | None = None,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta, mean and variance over `axes` (Ba et al. 2016).

    Args:
        axes: all by default.
        gamma, beta: of the shape of these axes; 1 and 0 where they are missing.
    """
    import torch.nn.functional as F

    rank = x.dim()
    chosen = sorted(axis % rank for axis in axes) if axes is not None else list(range(rank))
    if chosen == list(range(rank - len(chosen), rank)):
        return F.layer_norm(x, x.shape[-len(chosen) :], gamma, beta, epsilon)
    shape = tuple(x.shape[axis] if axis in chosen else 1 for axis in range(rank))
    return _affine(_standardize(x, chosen, epsilon), gamma, beta, shape)


def instance_norm(
    x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, epsilon: float = 1e-5
) -> Tensor:
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta, mean and variance of each channel of each image.

    Args:
        x: (N, C, ...); the statistics are over the axes behind C.
        gamma, beta: (C,); 1 and 0 where they are missing.
    """
    spatial = x.dim() - 2
    y = _standardize(x, list(range(2, x.dim())), epsilon)
    return _affine(y, gamma, beta, (-1, *[1] * spatial))


def batch_norm(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(variance + epsilon) per channel, then gamma and beta; x (N, C, ...)."""
    shape = (-1, *[1] * (x.dim() - 2))
    y = (x - mean.reshape(shape)) * (variance + epsilon).rsqrt().reshape(shape)
    return _affine(y, gamma, beta, shape)


def l2_norm(x: Tensor, epsilon: float = 1e-6) -> Tensor:
    """y = x / sqrt(sum of x^2 over the last three axes + epsilon)."""
    axes = list(range(max(x.dim() - 3, 0), x.dim()))
    return x * (x.square().sum(axes, keepdim=True) + epsilon).rsqrt()


def local_response_norm(
    x: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """y = x (k + alpha / size * sum of x^2 over `size` neighbouring channels)^-beta; x (N, C, ...)."""
    import torch.nn.functional as F

    return F.local_response_norm(x, size, alpha, beta, k)


OPERATIONS: Final[Kernels] = {
    "layer_norm": Kernel(layer_norm),
    "instance_norm": Kernel(instance_norm),
    "batch_norm": Kernel(batch_norm),
    "l2_norm": Kernel(l2_norm),
    "local_response_norm": Kernel(local_response_norm),
}
