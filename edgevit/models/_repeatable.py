"""A model has to give the same output for the same image: otherwise no file can be held against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from edgevit.core.errors import InputError
from edgevit.models._probe import forward

if TYPE_CHECKING:
    import torch

_ROUNDING: Final = 1e-6


def check_repeatable(module: torch.nn.Module, image: torch.Tensor, name: str) -> None:
    """Run `module` twice on one image; where the outputs differ, twice more to find the module that begins it.

    Args:
        image: float32 (1, 3, height, width), not constant: some models are random only on what they see.
        name: what the message calls the model.

    Raises:
        InputError: naming the first module whose output differs.
        StepError: the forward pass failed.
    """
    import torch

    if _same(forward(module, image, name), forward(module, image, name)):
        return
    with torch.no_grad():
        first, second = _outputs(module, image), _outputs(module, image)
    paths = {id(part): path for path, part in module.named_modules()}
    where = ""
    for (part, given, one), (_, given_again, other) in zip(first, second, strict=False):
        if _same(given, given_again) and not _same(one, other):
            path = paths[id(part)]
            where = (
                f", beginning with {path} ({type(part).__name__})"
                if path
                else f", in {type(part).__name__} itself"
            )
            break
    raise InputError(
        f"the model {name} is random in eval mode: the same image gives different outputs{where}",
        "dropout and stochastic depth must depend on self.training, and no state may change between two images",
    )


def _outputs(module: torch.nn.Module, image: torch.Tensor) -> list[tuple[torch.nn.Module, object, object]]:
    """Every module with its inputs and outputs, in the order in which they end: the inner before the outer."""
    found: list[tuple[torch.nn.Module, Any, Any]] = []

    def leave(part: torch.nn.Module, inputs: Any, output: Any) -> None:
        found.append((part, _copied(inputs), _copied(output)))

    hooks = [part.register_forward_hook(leave) for part in module.modules()]
    try:
        module(image)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _copied(value: Any) -> list[torch.Tensor]:
    return [tensor.detach().clone() for tensor in _tensors(value)]


def _same(first: Any, second: Any) -> bool:
    """To the bit, or to what threads that add in another order change."""
    import torch

    pairs = list(zip(_tensors(first), _tensors(second), strict=False))
    return all(
        torch.equal(a, b)
        or (a.shape == b.shape and float((a - b).abs().max()) <= _ROUNDING * float(a.abs().max()))
        for a, b in pairs
    )


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    import torch

    if isinstance(value, torch.Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _tensors(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _tensors(inner)
