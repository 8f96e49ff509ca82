"""A checkpoint of which no part is the model's: what it is instead, or what of it does not fit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgevit.core.errors import EdgevitError, InputError, UsageError
from edgevit.models._checkpoint.candidates import Candidate, by_key, choices
from edgevit.models._checkpoint.mismatch import FEW, HINT, describe, other_shapes, some
from edgevit.models._checkpoint.parts import Contents
from edgevit.models._checkpoint.shards import lora
from edgevit.models._checkpoint.unpickle import whole_module

if TYPE_CHECKING:
    import torch

    Tensors = Mapping[str, torch.Tensor]

_HEAD: Final = re.compile(
    r"(^|\.)(heads?|fc|classifier|classif|last_linear|linear|proj_head|cls_head|head_\w+)(\.|$)"
)
_ADAPTER: Final = re.compile(r"(^|[._])(lora_[A-Za-z]\w*|hada_w\w+|lokr_w\w+|ia3_l)(\.|$)")
_QUANTIZED: Final = re.compile(
    r"\.(qweight|qzeros|SCB|absmax|quant_map|weight_scale(_inv)?|_packed_params)(\.|$)"
)


def no_fit(
    path: Path, found: Contents, every: Sequence[Candidate], key: str | None, wanted: Tensors
) -> EdgevitError:
    """The error for a file without a part that has all names of the model and no others.

    Args:
        every: the pieces that were tried.
        key: `--weights-key`, which may be what is wrong.
    """
    chosen = by_key(every, key)
    if key is not None and not chosen and every:
        return UsageError(f"--weights-key {key}: {path} has no weights there", choices(every))
    closest = min(chosen, key=lambda c: c.differences.count, default=None)
    names = [name for part in found.parts for name in part.state]
    if any(_ADAPTER.search(name) for name in names):
        return lora(path)
    if any(_QUANTIZED.search(name) for name in names):
        return InputError(
            f"the weights in {path} are quantized already",
            "give the float checkpoint that they were made from",
        )
    strange = closest is None or not any(name in wanted for name in closest.state)
    if closest is None or (strange and (found.optimizers or found.modules)):
        return _nothing(path, found)
    missing, unexpected = closest.differences.missing, closest.differences.unexpected
    where = f"{path}" if closest.label == "." else f"{path} ({closest.label})"
    shapes = other_shapes(closest.state, wanted)
    if not shapes and len(missing) < len(wanted) and missing and all(_HEAD.search(name) for name in missing):
        tops = tuple({name.partition(".")[0] + "." for name in missing})
        other = tuple(n for n in (*unexpected, *closest.outside) if n.startswith(tops) or _HEAD.search(n))
        if len(other) <= FEW and {*unexpected} <= {*other}:
            return _head(where, {**closest.part.state, **closest.state}, missing, other)
    headless = not any(_HEAD.search(name) for name in wanted)
    if headless and not shapes and not missing and all(_HEAD.search(name) for name in unexpected):
        rows = _rows(closest.state, unexpected)
        return InputError(
            f"the weights in {where} fit but for a classifier that the model has not: {some(unexpected)}",
            f"give --num-classes {rows}" if rows else HINT,
        )
    said = f"; the checkpoint says that it is of {found.architecture!r}" if found.architecture else ""
    differences = "; ".join((*_depth(closest.state, wanted), *describe(missing, unexpected, shapes)))
    return InputError(f"the weights in {where} are for another architecture: {differences}{said}", HINT)


def _nothing(path: Path, found: Contents) -> InputError:
    if found.modules:
        return whole_module(path, f"torch.nn ({some(found.modules)})")
    if found.optimizers:
        return InputError(
            f"{path} holds the state of an optimizer, and no weights",
            "give the file that was saved beside it with the model's state_dict",
        )
    return InputError(
        f"{path} holds no state_dict (tensors by name), neither itself nor under another key",
        "save model.state_dict()",
    )


def _head(where: str, state: Tensors, missing: Sequence[str], unexpected: Sequence[str]) -> InputError:
    if not unexpected:
        return InputError(
            f"the weights in {where} fit but for the classifier, which they lack: {some(missing)}",
            "--num-classes 0 converts the model without a head; a classifier needs weights that were trained with one",
        )
    rows = _rows(state, unexpected)
    classes = f" for {rows} classes" if rows else ""
    return InputError(
        f"the weights in {where} fit but for the classifier: the file has another one{classes} "
        f"({some(unexpected)}), not {some(missing)}",
        "build the model with the head that was trained and give it as python:FILE:FACTORY with these weights; "
        f"--num-classes {rows or 'N'} makes a single linear layer",
    )


def _rows(state: Tensors, names: Sequence[str]) -> int:
    """Outputs of the last layer among some tensors; 0 if none has two axes."""
    return next((int(state[n].shape[0]) for n in reversed(names) if n in state and state[n].ndim >= 2), 0)


def _depth(state: Tensors, wanted: Tensors) -> tuple[str, ...]:
    """What is said where a model of the same layers has more or fewer of them."""
    given, needed = _layers(state), _layers(wanted)
    path = next((path for path, count in needed.items() if given.get(path, count) != count), None)
    return (
        () if path is None else (f"layers in {path}: {given[path]} in the file, {needed[path]} in the model",)
    )


def _layers(names: Iterable[str]) -> dict[str, int]:
    """Path of each list of layers that is in no other -> how many there are."""
    found: dict[str, set[str]] = {}
    for name in names:
        place = re.match(r"(.*?)\.(\d+)\.", name)
        if place is not None:
            found.setdefault(place[1], set()).add(place[2])
    return {path: len(numbers) for path, numbers in found.items()}
