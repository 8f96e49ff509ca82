"""Fuse the branches that a model trains with into the single layers that it runs with, before it is exported.

RepVGG, MobileOne, FastViT, RepViT and many others train parallel convolutions, each with its batch norm, whose
sum is one convolution (Ding et al. 2021, RepVGG; Vasu et al. 2023, MobileOne). Their code brings the algebra
along; without it each branch would become layers of its own in the file.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edgevit.core.decibels import sqnr_db

if TYPE_CHECKING:
    import torch

NAME: Final = "reparameterize"
SUMMARY: Final = (
    "Branches that a model can fuse itself (fuse, reparameterize, switch_to_deploy) as one layer each."
)

# `fuse` of timm's LeViT, RepViT and TinyViT families, `reparameterize` of Apple's MobileOne and FastViT and of
# timm, `switch_to_deploy` of RepVGG and its descendants.
_METHODS: Final = ("fuse", "reparameterize", "switch_to_deploy")
_EXACT_DB: Final = 80.0  # rounding in float32 leaves 115 dB and more, another epsilon of a batch norm 70
_IMAGES: Final = 4
_SHOWN: Final = 4


@dataclass(frozen=True, slots=True)
class Fused:
    """A module ready to be exported.

    Attributes:
        module: fused, or the given one where nothing could be.
        done: whether it was fused.
        note: what was done, or why not, in one sentence; empty for a model that offers nothing to fuse.
    """

    module: torch.nn.Module
    done: bool = False
    note: str = ""


def reparameterize(given: torch.nn.Module, image: torch.Tensor) -> Fused:
    """Fuse a copy of the module with its own methods, and take it if it gives the same outputs.

    A method may work in place or return what takes the module's place, as the ecosystem does both; it may
    belong to a layer or to the whole model. One that needs arguments is something else. Without an equal
    output on seeded images the module stays as it is: a fusion that is wrong, or that some other code has
    made already, must not change what the model computes.
    """
    import torch

    if not any(_offered(part) for part in given.modules()):
        return Fused(given)
    fused: Counter[str] = Counter()
    try:
        with torch.no_grad():
            noise = torch.randn((_IMAGES, *image.shape[1:]), generator=torch.Generator().manual_seed(0))
            wanted = _outputs(given, noise)
            module = _fuse(copy.deepcopy(given), fused).eval().requires_grad_(False)
            agreed = _agreement(wanted, _outputs(module, noise))
    except Exception as error:  # noqa: BLE001  the model's own code may raise anything
        reason = " ".join(str(error).split())[:200]
        return Fused(given, note=f"its branches were not fused: {type(error).__name__}: {reason}")
    parts = ", ".join(f"{count} {name}" for name, count in fused.most_common(_SHOWN))
    parts += ", ..." if len(fused) > _SHOWN else ""
    if agreed < _EXACT_DB:
        return Fused(
            given,
            note=f"its branches were not fused: the outputs would differ ({agreed:.0f} dB; fused were {parts})",
        )
    return Fused(
        module,
        done=True,
        note=f"fused before the export by the model's own code: {parts}; the outputs stay the same, "
        f"{'to the bit' if agreed == math.inf else f'to {agreed:.0f} dB'}; --without {NAME} keeps the branches",
    )


def _fuse(module: torch.nn.Module, fused: Counter[str]) -> torch.nn.Module:
    """From the outside in: a block that fuses its parts together must not find them fused one by one."""
    import torch

    method = _offered(module)
    if method is not None:
        name, made = type(module).__name__, method()
        fused[name] += 1
        module = made if isinstance(made, torch.nn.Module) else module
    for name, child in list(module.named_children()):
        replaced = _fuse(child, fused)
        if replaced is not child:
            setattr(module, name, replaced)
    return module


def _offered(module: torch.nn.Module) -> Callable[[], object] | None:
    """The method of `module` that fuses it; None without one. A layer, or a method with arguments, is none."""
    for name in _METHODS:
        method = getattr(type(module), name, None)
        if inspect.isfunction(method) and not any(
            parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            for parameter in list(inspect.signature(method).parameters.values())[1:]
        ):
            bound: Callable[[], object] = getattr(module, name)
            return bound
    return None


def _outputs(module: torch.nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    from torch.utils import _pytree

    leaves = (_pytree.tree_leaves(module(image[None])) for image in images)
    return [leaf.double() for found in leaves for leaf in found]


def _agreement(wanted: list[torch.Tensor], found: list[torch.Tensor]) -> float:
    """SQNR of the worst output on the worst image, in dB; infinite where they are equal to the bit."""
    import torch

    if [tensor.shape for tensor in wanted] != [tensor.shape for tensor in found]:
        return -math.inf
    worst = math.inf
    for one, other in zip(wanted, found, strict=True):
        if torch.equal(one, other):
            continue
        signal, noise = float(one.square().sum()), float((one - other).square().sum())
        worst = min(worst, sqnr_db(signal, noise, math.inf))
    return worst
