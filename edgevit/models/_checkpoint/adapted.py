"""What a library did to weights while it loaded them, found by comparing values and not names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevit.core.errors import InputError
from edgevit.models._checkpoint.resample import alike, trained_size

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    Values = Mapping[str, torch.Tensor]

_SHOWN = 3
_TOKENS = 5  # class, distillation and register tokens
# Tables that a model computes from its sizes; a file may bring them along.
_COMPUTED = re.compile(r"(attn_mask|relative_coords_table|relative_position_index|position_ids|inv_freq)$")
# What depends on the image size, the patch or the window.
_SIZED = re.compile(r"pos|rel_|relative|attention_bias|patch_embed")


@dataclass(frozen=True, slots=True)
class Change:
    """A tensor of the model with values that the file does not have; `before` is None if nothing like it is there."""

    name: str
    before: tuple[int, ...] | None
    after: tuple[int, ...]

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.name} {self.after}, of which the file has nothing"
        return f"{self.name} from {self.before} to {self.after}"


@dataclass(frozen=True, slots=True)
class Asked:
    """The (height, width) of the model's images, and whether the user named it or another size of the model."""

    size: tuple[int, int]
    explicit: bool


def check_adapted(given: Values, taken: Values, where: str, asked: Asked | None) -> tuple[str, ...]:
    """Compare the tensors of a file with those of the model that was filled from it.

    Args:
        given: float tensors are looked at; others are counters and indices.
        taken: the model's, after loading.
        where: what messages call the file.
        asked: None if the model has no image size that could differ.

    Returns:
        One sentence for each kind of change.

    Raises:
        InputError: what depends on the image size was resampled, and nobody asked for that size.
    """
    changes, unused = compare(given, taken)
    sized = [change for change in changes if _is_sized(change)]
    others = [change for change in changes if change not in sized]
    notes = []
    if sized:
        if asked is None or not asked.explicit:
            raise other_size(sized[0].name, sized[0].before or (), sized[0].after, where, asked)
        fit = f"{asked.size[0]}x{asked.size[1]}"
        notes.append(
            f"resampled to fit {fit} images: {_some(sized)}; the weights were trained at another size, so measure "
            "the accuracy at this one (--evaluate)"
        )
    if others:
        notes.append(f"changed while {where} was loaded: {_some(others)}")
    if unused:
        notes.append(f"left out of {where}, because the model has no place for it: {_some(unused)}")
    return tuple(notes)


def other_size(
    name: str, before: tuple[int, ...], after: tuple[int, ...], where: str, asked: Asked | None
) -> InputError:
    """The error for a tensor that was trained for another image size, patch or window."""
    shapes = f"{name} is {before} in the file and {after} in the model"
    if asked is None:
        return InputError(
            f"the weights in {where} are for another image size: {shapes}", "see --image-size and --model-arg"
        )
    height, width = asked.size
    trained = trained_size(name, before, after, asked.size)
    if trained is None:
        return InputError(
            f"the weights in {where} are for another image size, patch or window than the model's: {shapes}",
            "give the --image-size (or --model-arg) that they were trained with to keep them, or "
            f"--image-size {_flag(height, width)} to resample them",
        )
    return InputError(
        f"the weights in {where} were trained at {trained[0]}x{trained[1]} pixels, not at {height}x{width}: {shapes}",
        f"give --image-size {_flag(*trained)} to keep that size, or --image-size {_flag(height, width)} to resample "
        "the position embeddings",
    )


def compare(given: Values, taken: Values) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """The tensors of `taken` with values that `given` lacks, and the names of `given` that went nowhere.

    A tensor under another name, one of another shape with the same values, and parts or unions of several
    are no change.
    """
    old = {name: value for name, value in given.items() if value.is_floating_point()}
    new = {name: value for name, value in taken.items() if value.is_floating_point()}
    same = {
        n for n in old.keys() & new.keys() if old[n].shape == new[n].shape and bool((old[n] == new[n]).all())
    }
    digests = {name: _digest(value) for name, value in old.items() if name not in same}
    known = set(digests.values())
    rest = {}
    used = set()
    for name, value in new.items():
        if name in same:
            continue
        digest = _digest(value)
        if digest in known:
            used.add(digest)
        else:
            rest[name] = value
    spare = {name: old[name] for name, digest in digests.items() if digest not in used}
    pool, moved = _sorted(spare.values()), []
    changes = []
    for name, value in rest.items():
        counterpart = _counterpart(name, value, spare)
        resized = (
            counterpart is not None
            and (counterpart == name or _SIZED.search(name) is not None)
            and spare[counterpart].numel() != value.numel()
        )
        if not resized and _within(value, pool):
            moved.append(value)
        else:
            before = None if counterpart is None else tuple(spare[counterpart].shape)
            changes.append(Change(name, before, tuple(value.shape)))
            spare = {key: kept for key, kept in spare.items() if key != counterpart}
    placed = _sorted(moved)
    left = (n for n, v in spare.items() if not _COMPUTED.search(n) and not _within(v, placed))
    return tuple(changes), tuple(left)


def _is_sized(change: Change) -> bool:
    """Whether it depends on the image size; a position for a token more or less is no other size."""
    if change.before is None or not _SIZED.search(change.name):
        return False
    tokens = [shape[-2] for shape in (change.before, change.after) if len(shape) == 3]
    return len(tokens) != 2 or tokens[0] == tokens[1] or abs(tokens[0] - tokens[1]) > _TOKENS


def _counterpart(name: str, value: torch.Tensor, spare: Values) -> str | None:
    """The tensor of the file that `name` was made from: of that name, or else of one that ends like it."""
    if name in spare:
        return name
    same = [key for key, kept in spare.items() if kept.ndim == value.ndim and alike(key, name)]
    return same[0] if len(same) == 1 else None


def _flag(height: int, width: int) -> str:
    return str(height) if height == width else f"{height}x{width}"


def _digest(value: torch.Tensor) -> bytes:
    return hashlib.blake2b(value.detach().cpu().float().numpy().tobytes(), digest_size=16).digest()


def _sorted(values: Iterable[torch.Tensor]) -> NDArray[np.float32]:
    import numpy as np

    arrays = [value.detach().cpu().float().flatten().numpy() for value in values]
    return np.unique(np.concatenate(arrays)) if arrays else np.empty(0, np.float32)


def _within(value: torch.Tensor, pool: NDArray[np.float32]) -> bool:
    """Whether each element of `value` is in `pool`, which is sorted."""
    import numpy as np

    if not len(pool):
        return False
    flat = value.detach().cpu().float().flatten().numpy()
    places = np.minimum(np.searchsorted(pool, flat), len(pool) - 1)
    return bool((pool[places] == flat).all())


def _some(found: Sequence[object]) -> str:
    more = len(found) - _SHOWN
    return "; ".join(map(str, found[:_SHOWN])) + (f"; and {more} more" if more > 0 else "")
