"""Seeded random weights that hide no bug: nothing stays 0 or 1, activations stay moderate.

A freshly made model has LayerScale, residual norms and heads near 0, so that a converter may drop
whole blocks unnoticed. Here every floating parameter gets a value from its own generator, seeded
by (seed, name), so the result depends on neither the order of parameters nor other models.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgevit.core.decibels import sqnr_db
from edgevit.core.errors import UnsupportedError
from edgevit.models._channels import channels_of
from edgevit.models._probe import forward

if TYPE_CHECKING:
    import torch

# Kernels make up for what the activations between them take away: without that, 40 layers of SiLU
# leave logits that hardly depend on the image. Plain residual networks want less, so the
# first gain that keeps the activations moderate is taken.
_KERNEL_GAINS = (1.5, 1.25, 1.0, 0.75, 0.5)
# Sums of many branches (MobileOne) grow even then; only they get so little.
_SMALL_GAINS = (0.35, 0.25)
_MODERATE = 500.0
# Matrices of this gain make products of attention small enough for a softmax that does not choose one token alone.
# Where it does, a network may amplify rounding until no two ways of computing it agree.
_MATRIX_GAINS = (1.0, 0.7, 0.5, 0.35)
_NUDGE = 1e-6
_STEADY_DB = 117.0  # of a nudge of 120 dB: rounding to float16 is not small enough to count on less


def randomise(module: torch.nn.Module, seed: int, size: tuple[int, int]) -> None:
    """Fill every floating parameter and the norm statistics of `module` in place; sets eval mode.

    Matrices are normal with variance 1 / fan-in, or less where the network would amplify rounding
    otherwise; kernels of convolutions have up to 2.25 / fan-in (see above); norm weights lie in 0.75
    to 1.25, running variances in 0.5 to 2; biases and running means are normal with deviation 0.1;
    LayerScale lies in 0.1 to 0.5; tokens and position embeddings are normal with deviation 0.5. All
    other buffers (masks, indices, rotary and coordinate tables) keep their values.

    Args:
        size: (height, width) of the images on which activations are looked at.

    Raises:
        UnsupportedError: activations exceed 1000 with every gain.
        StepError: the forward pass failed.
    """
    # What a vector starts as tells its part (norm weight, LayerScale, temperature).
    starts = {name: _first(p) for name, p in module.named_parameters(remove_duplicate=False)}
    best, steadiest, smallest = None, -math.inf, math.inf
    for gain, matrix_gain in itertools.product((*_KERNEL_GAINS, *_SMALL_GAINS), _MATRIX_GAINS):
        if gain in _SMALL_GAINS and best is not None:
            break
        _fill(module, seed, gain, matrix_gain, starts)
        peak, kept = _response(module, seed, size)
        smallest = min(smallest, peak)
        if peak <= _MODERATE and kept >= _STEADY_DB:
            return
        if peak <= 2 * _MODERATE and kept > steadiest:
            best, steadiest = (gain, matrix_gain), kept
    if best is None:
        raise UnsupportedError(
            f"random weights make the model's activations as large as {smallest:.3g}", "give --weights FILE"
        )
    _fill(module, seed, *best, starts)


def _response(module: torch.nn.Module, seed: int, size: tuple[int, int]) -> tuple[float, float]:
    """Largest absolute output of any submodule on a noise image, and what is left of a nudge of its pixels.

    Submodules without parameters do not count: no gain changes what a fixed transform gives, such as a cosine transform
    of pixels from 0 to 255.

    Returns:
        The peak, not a number if there is one, and the SQNR in dB between the outputs of the image and of the
        nudged one.
    """
    import torch
    from torch.utils import _pytree

    peaks: list[float] = []

    def look(_module: torch.nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.is_floating_point() and output.numel():
            peaks.append(float(output.abs().max()))

    generator = _generator(seed, "images")
    image = torch.randn(1, channels_of(module, size), *size, generator=generator)
    nudged = image * (1 + _NUDGE * torch.randn(image.shape, generator=generator))
    weighted = [part for part in module.modules() if next(part.parameters(), None) is not None]
    hooks = [part.register_forward_hook(look) for part in weighted]
    try:
        outputs = [forward(module.eval(), x, type(module).__name__) for x in (image, nudged)]
    finally:
        for hook in hooks:
            hook.remove()
    peak = next((peak for peak in peaks if not math.isfinite(peak)), max(peaks, default=0.0))
    noise = signal = 0.0
    for one, other in zip(*map(_pytree.tree_leaves, outputs), strict=True):
        if isinstance(one, torch.Tensor) and one.is_floating_point():
            noise += float((one.double() - other.double()).square().sum())
            signal += float(one.double().square().sum())
    return peak, sqnr_db(max(signal, 1e-30), max(noise, 1e-30), math.inf)


def _fill(
    module: torch.nn.Module,
    seed: int,
    kernel_gain: float,
    matrix_gain: float,
    starts: Mapping[str, float | None],
) -> None:
    import torch

    done: set[int] = set()
    with torch.no_grad():
        for path, owner in sorted(module.named_modules(), key=lambda item: item[0]):
            prefix = f"{path}." if path else ""
            for leaf, parameter in owner.named_parameters(recurse=False):
                if parameter.is_floating_point() and id(parameter) not in done:
                    done.add(id(parameter))  # a tied parameter goes by its first name
                    generator = _generator(seed, prefix + leaf)
                    if _vector(parameter):
                        values = _fill_vector(owner, leaf, parameter, generator, starts[prefix + leaf])
                    else:
                        values = _fill_matrix(owner, parameter, generator, kernel_gain, matrix_gain)
                    parameter.copy_(values)
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


def _vector(parameter: torch.Tensor) -> bool:
    """One value per index, perhaps with trailing axes of 1."""
    return parameter.ndim == 0 or parameter.numel() == parameter.shape[0]


def _first(parameter: torch.Tensor) -> float | None:
    """The one value that a vector holds everywhere, None if it holds several."""
    if not _vector(parameter) or not parameter.numel():
        return None
    first = float(parameter.detach().flatten()[0])
    return first if bool((parameter == first).all()) else None


def _fill_vector(
    owner: torch.nn.Module, leaf: str, old: torch.Tensor, generator: torch.Generator, start: float | None
) -> torch.Tensor:
    import torch

    if leaf.endswith("bias"):
        return 0.1 * torch.randn(old.shape, generator=generator)
    if "norm" in type(owner).__name__.lower() or start == 1.0:
        return _uniform(old, 0.75, 1.25, generator)
    if start is None or start == 0.0 or old.numel() == 1:  # a lone value may have been drawn at random
        return 0.1 * torch.randn(old.shape, generator=generator)
    if abs(start) <= 0.5:  # LayerScale starts at 1e-6 to 0.1
        return _uniform(old, 0.1, 0.5, generator)
    return start * _uniform(old, 0.75, 1.25, generator)  # a temperature, perhaps as a logarithm


def _fill_matrix(
    owner: torch.nn.Module,
    old: torch.Tensor,
    generator: torch.Generator,
    kernel_gain: float,
    matrix_gain: float,
) -> torch.Tensor:
    import torch

    kernel = isinstance(owner, torch.nn.modules.conv._ConvNd)
    noise = torch.randn(old.shape, generator=generator)
    if old.shape[0] == 1 and not kernel and not isinstance(owner, torch.nn.Linear):
        return 0.5 * noise  # class tokens, position embeddings
    transposed = isinstance(owner, torch.nn.modules.conv._ConvTransposeNd)
    fan_in = old.numel() // old.shape[1 if transposed else 0]
    return noise * ((kernel_gain if kernel else matrix_gain) / math.sqrt(fan_in))


def _uniform(like: torch.Tensor, low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    import torch

    return low + (high - low) * torch.rand(like.shape, generator=generator)
