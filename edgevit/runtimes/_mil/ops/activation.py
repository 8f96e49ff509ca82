"""MIL activation functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgevit.core.errors import UnsupportedError
from edgevit.runtimes._mil.kernel import Kernel, Kernels

if TYPE_CHECKING:
    from torch import Tensor


def _per_channel(values: Tensor, x: Tensor) -> Tensor:
    """(C,) shaped so that it broadcasts along axis 1 of x."""
    return values.reshape(-1, *[1] * (x.dim() - 2))


def relu(x: Tensor) -> Tensor:
    """max(x, 0)."""
    return x.relu()


def relu6(x: Tensor) -> Tensor:
    """min(max(x, 0), 6)."""
    return x.clamp(0.0, 6.0)


def clamped_relu(x: Tensor, alpha: float, beta: float) -> Tensor:
    """min(beta, x) where x >= 0, else min(beta, alpha x)."""
    import torch

    return torch.where(x >= 0, x, alpha * x).clamp(max=beta)


def elu(x: Tensor, alpha: float) -> Tensor:
    """y = x where x > 0, else alpha (exp(x) - 1)."""
    import torch.nn.functional as F

    return F.elu(x, alpha)


def leaky_relu(x: Tensor, alpha: float) -> Tensor:
    """y = x where x >= 0, else alpha x."""
    import torch.nn.functional as F

    return F.leaky_relu(x, alpha)


def prelu(x: Tensor, alpha: Tensor) -> Tensor:
    """y = x where x > 0, else alpha[c] x; x (N, C, ...), alpha (C,), c on axis 1."""
    import torch

    return torch.where(x > 0, x, _per_channel(alpha, x) * x)


def thresholded_relu(x: Tensor, alpha: float) -> Tensor:
    """y = x where x >= alpha, else 0."""
    import torch

    return torch.where(x >= alpha, x, torch.zeros_like(x))


def linear_activation(x: Tensor, alpha: float, beta: float) -> Tensor:
    """y = alpha x + beta."""
    return x * alpha + beta


def scaled_tanh(x: Tensor, alpha: float, beta: float) -> Tensor:
    """y = alpha tanh(beta x)."""
    return alpha * (beta * x).tanh()


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return x.sigmoid()


def sigmoid_hard(x: Tensor, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    """min(max(alpha x + beta, 0), 1)."""
    return (alpha * x + beta).clamp(0.0, 1.0)


def silu(x: Tensor) -> Tensor:
    """y = x sigmoid(x)."""
    import torch.nn.functional as F

    return F.silu(x)


def gelu(x: Tensor, mode: str = "EXACT") -> Tensor:
    """y = x Phi(x), Phi the normal distribution; approximated by tanh, or as x sigmoid(1.702 x)."""
    import torch.nn.functional as F

    if mode == "EXACT":
        return F.gelu(x)
    if mode == "TANH_APPROXIMATION":
        return F.gelu(x, approximate="tanh")
    if mode == "SIGMOID_APPROXIMATION":
        return x * (1.702 * x).sigmoid()
    raise UnsupportedError(
        f"Core ML operation 'gelu' in mode {mode!r}",
        "known: EXACT, TANH_APPROXIMATION, SIGMOID_APPROXIMATION",
    )


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x))."""
    import torch.nn.functional as F

    return F.softplus(x)


def softplus_parametric(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """alpha[c] log(1 + exp(beta[c] x)); x (N, C, ...)."""
    import torch.nn.functional as F

    return _per_channel(alpha, x) * F.softplus(_per_channel(beta, x) * x)


def softsign(x: Tensor) -> Tensor:
    """y = x / (1 + |x|)."""
    return x / (1 + x.abs())


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """y = exp(x) / sum of exp(x) along axis."""
    return x.softmax(axis)


OPERATIONS: Final[Kernels] = {
    "relu": Kernel(relu, exact=True, pointwise=True),
    "relu6": Kernel(relu6, exact=True, pointwise=True),
    "clamped_relu": Kernel(clamped_relu, pointwise=True),
    "elu": Kernel(elu, pointwise=True),
    "leaky_relu": Kernel(leaky_relu, pointwise=True),
    "prelu": Kernel(prelu),
    "thresholded_relu": Kernel(thresholded_relu, exact=True, pointwise=True),
    "linear_activation": Kernel(linear_activation, pointwise=True),
    "scaled_tanh": Kernel(scaled_tanh, pointwise=True),
    "sigmoid": Kernel(sigmoid, pointwise=True),
    "sigmoid_hard": Kernel(sigmoid_hard, pointwise=True),
    "silu": Kernel(silu, pointwise=True),
    "gelu": Kernel(gelu, pointwise=True),
    "softplus": Kernel(softplus, pointwise=True),
    "softplus_parametric": Kernel(softplus_parametric),
    "softsign": Kernel(softsign, pointwise=True),
    "softmax": Kernel(softmax),
}
