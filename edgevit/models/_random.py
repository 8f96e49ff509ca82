"""Seeded random weights that hide no bug: nothing stays 0 or 1, activations stay moderate.

A freshly made model has LayerScale, residual norms and heads near 0, so that a converter may drop
whole blocks unnoticed. Here every floating parameter gets a value from its own generator, seeded
by (seed, name), so the result depends on neither the order of parameters nor other models.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_WEIGHT_GAIN = 1.0


def randomise(module: torch.nn.Module, seed: int) -> None:
    """Fill every floating parameter and the norm statistics of `module` in place.

    Matrices and kernels are normal with variance 1 / fan-in; norm weights lie in 0.75 to 1.25, running
    variances in 0.5 to 2; biases and running means are normal with deviation 0.1; LayerScale
    lies in 0.1 to 0.5; tokens and position embeddings are normal with deviation 0.5. All other
    buffers (masks, indices, rotary and coordinate tables) keep their values.
    """
    import torch

    done: set[int] = set()
    with torch.no_grad():
        for path, owner in sorted(module.named_modules(), key=lambda item: item[0]):
            prefix = f"{path}." if path else ""
            for leaf, parameter in owner.named_parameters(recurse=False):
                if parameter.is_floating_point() and id(parameter) not in done:
                    done.add(id(parameter))  # a tied parameter goes by its first name
                    parameter.copy_(_parameter(owner, leaf, parameter, _generator(seed, prefix + leaf)))
            for leaf, buffer in owner.named_buffers(recurse=False):
                generator = _generator(seed, prefix + leaf)
                if leaf == "running_mean":
                    buffer.copy_(0.1 * torch.randn(buffer.shape, generator=generator))
                elif leaf == "running_var":
                    buffer.copy_(_uniform(buffer, 0.5, 2.0, generator))


def _generator(seed: int, name: str) -> torch.Generator:
    import torch

    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def _parameter(
    owner: torch.nn.Module, leaf: str, old: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    import torch

    noise = torch.randn(old.shape, generator=generator)
    per_index = old.numel() // max(old.shape[0], 1) if old.ndim else 1
    if per_index == 1:  # a vector, perhaps with trailing axes of 1
        first = float(old.flatten()[0]) if old.numel() else 0.0
        if leaf.endswith("bias"):
            return 0.1 * noise
        if "norm" in type(owner).__name__.lower() or first == 1.0:
            return _uniform(old, 0.75, 1.25, generator)
        if old.numel() > 1 and first != 0.0 and bool((old == first).all()):
            if abs(first) <= 0.5:  # LayerScale starts at 1e-6 to 0.1
                return _uniform(old, 0.1, 0.5, generator)
            return first * _uniform(old, 0.75, 1.25, generator)  # a temperature, perhaps as a logarithm
        return 0.1 * noise
    if old.shape[0] == 1 and not isinstance(owner, torch.nn.Linear | torch.nn.modules.conv._ConvNd):
        return 0.5 * noise  # class tokens, position embeddings
    fan_in = per_index
    if isinstance(owner, torch.nn.modules.conv._ConvTransposeNd):
        fan_in = old.numel() // max(old.shape[1], 1)
    return noise * (_WEIGHT_GAIN / math.sqrt(max(fan_in, 1)))


def _uniform(like: torch.Tensor, low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    import torch

    return low + (high - low) * torch.rand(like.shape, generator=generator)
