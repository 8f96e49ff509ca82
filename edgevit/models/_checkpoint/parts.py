"""The state dicts within a checkpoint: its own weights, moving averages of them, a student and a teacher.

A training script saves a dictionary with the weights under some name (`state_dict`, `model`, `net`), often with an
average of them (EMA) under another, and optimizer, epoch and arguments beside. Every dictionary that holds tensors by
name, at whatever depth, is a part.
"""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from edgevit.models._checkpoint.unpickle import PickledModule

if TYPE_CHECKING:
    import torch

State = dict[str, "torch.Tensor"]

_DEPTH: Final = 5
_MOST: Final = 64  # parts; a tree of single tensors, as Flax writes one, has thousands
_AVERAGES: Final = frozenset(("ema", "swa", "avg", "average", "averaged", "polyak", "shadow"))
# Beside such a word: the weights that the average is of, as in `ema.online_model`.
_NO_AVERAGES: Final = frozenset(("online", "raw", "student"))
# Lightning's WeightAveraging puts the average where the weights are otherwise, and the weights here.
_BEFORE_AVERAGING: Final = "current_model_state"


@dataclass(frozen=True, slots=True)
class Part:
    """Tensors by name.

    Attributes:
        key: where it stands in the checkpoint, such as `state_dict_ema`; "" for the file itself.
        state: the tensors, in the file's order.
        averaged: it is a moving average of weights that were trained.
    """

    key: str
    state: State
    averaged: bool = False


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds.

    Attributes:
        optimizers: keys of the states of optimizers, which are no parts.
        modules: keys of pickled modules, whose tensors are not read.
        nameless: keys of moving averages in lists (torch_ema), whose tensors nothing assigns to layers.
        architecture: `arch`, as timm's train.py writes it.
        arguments: `args`, the flags of the training script.
    """

    parts: tuple[Part, ...]
    optimizers: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    nameless: tuple[str, ...] = ()
    architecture: str = ""
    arguments: Mapping[str, object] = field(default_factory=dict)


def contents(loaded: object) -> Contents:
    """The parts of what was loaded; none if it holds no dictionary of tensors."""
    other: dict[str, list[str]] = {"optimizer": [], "module": [], "nameless": []}
    found = []
    top = loaded if isinstance(loaded, dict) else {}
    for part in _walk(loaded, "", 0, set(), other):
        found.append(part)
        if len(found) == _MOST:
            break
    found = [Part(p.key, p.state, p.averaged or _is_average(p.key, top)) for p in found]
    named = top.get("arch")
    optimizers, modules, nameless = map(tuple, other.values())
    architecture = named if isinstance(named, str) else ""
    return Contents(tuple(found), optimizers, modules, nameless, architecture, _arguments(top.get("args")))


def _arguments(given: object) -> Mapping[str, object]:
    found = vars(given) if isinstance(given, Namespace) else given
    return {str(name): value for name, value in found.items()} if isinstance(found, dict) else {}


def is_average(name: str) -> bool:
    """Whether a key or a prefix says that it is of a moving average (`model_ema`, `ema_model.`)."""
    words = set(re.split(r"[._\-]", name.lower()))
    return bool(words & _AVERAGES) and not words & _NO_AVERAGES


def _is_average(key: str, top: Mapping[object, object]) -> bool:
    if is_average(key):
        return True
    if key == "teacher":  # of DINO and what followed it: the average of the student
        return "student" in top
    return key == "state_dict" and _BEFORE_AVERAGING in top


def _walk(
    value: object, key: str, depth: int, seen: set[int], other: Mapping[str, list[str]]
) -> Iterator[Part]:
    import torch

    if isinstance(value, PickledModule):
        other["module"].append(key)
    items = _items(value)
    if items is None or depth > _DEPTH or id(value) in seen:
        return
    seen.add(id(value))
    if "param_groups" in items and "state" in items:
        other["optimizer"].append(key)
        return
    state = {name: inner.detach() for name, inner in items.items() if isinstance(inner, torch.Tensor)}
    if state and isinstance(value, dict):
        yield Part(key, state, "n_averaged" in state)
    elif len(state) > 1 and is_average(key):
        other["nameless"].append(key)
    for name, inner in items.items():
        yield from _walk(inner, f"{key}.{name}" if key else name, depth + 1, seen, other)


def _items(value: object) -> Mapping[str, object] | None:
    """What a container holds by name, or by number; None for anything else."""
    if isinstance(value, dict):
        return {name: inner for name, inner in value.items() if isinstance(name, str)}
    if isinstance(value, list | tuple):
        return {str(index): inner for index, inner in enumerate(value)}
    return None
