"""The tensors of a model's output, however deep they lie, under names that stay the same.

A mapping, a dataclass and a named tuple give the names of their entries, a tuple or list the numbers, joined by
underscores: `{"aux": (a, None, b)}` holds `aux_0` and `aux_2`. What is None has no tensor, and takes no name from
those that have one. Of a tuple or list as the whole output the first tensor is `logits` where the model is a
classifier, else `features`, and the others are `output_1`, `output_2`, ... Integers beside floats (an argmax, ids)
are left out: a file is judged and quantized by its floats, and the integers follow from them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from edgevit.core.errors import UnsupportedError
from edgevit.core.outputs import LOGITS_NAME

if TYPE_CHECKING:
    import torch

Path = tuple[Any, ...]


def named_tensors(
    found: Any, num_classes: int, source: str
) -> tuple[dict[str, Path], dict[str, torch.Tensor], tuple[str, ...]]:
    """Name -> where a tensor lies, name -> the tensor, and what is left out because it is no tensor of floats.

    A model without any floats keeps what it has, for the message that says so.

    Args:
        found: what the model returned for one image.
        num_classes: 0 for a model that says it has no classifier.

    Raises:
        UnsupportedError: no tensor at all, or two that would have one name.
    """
    import torch

    leaves = list(_leaves(found, ()))
    tensors = [(path, value) for path, value in leaves if isinstance(value, torch.Tensor)]
    if not tensors:
        raise UnsupportedError(
            f"the model {source} returns {type(found).__name__} without a tensor in it",
            "tensors may lie in tuples, lists, mappings, dataclasses and named tuples",
        )
    floats = [(path, value) for path, value in tensors if value.is_floating_point()]
    tensors = floats or tensors
    unnamed = not tensors[0][0] or (isinstance(found, list | tuple) and not hasattr(found, "_fields"))
    paths: dict[str, Path] = {}
    values: dict[str, torch.Tensor] = {}
    for path, value in tensors:
        name = _joined(("output", *path) if unnamed else path)
        if unnamed and not paths:
            classifier = value.ndim in (1, 2) and num_classes > 0
            name = LOGITS_NAME if classifier else "features"
        if name in paths:
            raise UnsupportedError(
                f"two outputs of {source} would be called {name}", "give them other names: python:"
            )
        paths[name], values[name] = path, value
    order = sorted(paths, key=lambda name: name != LOGITS_NAME)
    kept = set(paths.values())
    lost = tuple(
        f"{_joined(('output', *path) if unnamed else path)} ({_kind(value)})"
        for path, value in leaves
        if path not in kept
    )
    return {name: paths[name] for name in order}, {name: values[name] for name in order}, lost


def _kind(value: object) -> str:
    import torch

    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} numbers"
    return type(value).__name__


def is_flat(found: Any) -> bool:
    """Whether it is a tensor, or a tuple or list of nothing else, so that nothing has to be picked from it."""
    import torch

    if isinstance(found, list | tuple):
        return all(isinstance(value, torch.Tensor) for value in found)
    return isinstance(found, torch.Tensor)


def picking(inner: torch.nn.Module, paths: tuple[Path, ...]) -> torch.nn.Module:
    """`inner` with just the tensors at `paths` as its output; the inner module's paths gain the prefix `model.`."""
    import torch

    class Picked(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = inner

        def forward(self, image: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
            found = self.model(image)
            chosen = tuple(_at(found, path) for path in paths)
            return chosen[0] if len(chosen) == 1 else chosen

    return Picked()


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if value is None:
        return
    entries = _entries(value)
    if entries is None:
        yield path, value
    else:
        for key, inner in entries:
            yield from _leaves(inner, (*path, key))


def _entries(value: Any) -> list[tuple[Any, Any]] | None:
    """What a container holds, with the key that `_at` takes; None for anything else."""
    if isinstance(value, Mapping):
        return list(value.items())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    if not isinstance(value, list | tuple):
        return None
    names: tuple[str, ...] | None = getattr(value, "_fields", None)  # of a named tuple
    return list(enumerate(value) if names is None else zip(names, value, strict=True))


def _at(found: Any, path: Path) -> Any:
    for key in path:
        found = found[key] if isinstance(found, Mapping) or isinstance(key, int) else getattr(found, key)
    return found


def _joined(path: Path) -> str:
    """A name that every format and language takes: letters, digits and underscores."""
    return re.sub(r"\W+", "_", "_".join(map(str, path)))
