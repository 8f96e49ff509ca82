"""Fit position embeddings that were trained at one image size to another, with timm's interpolation."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevit.core.require import require

if TYPE_CHECKING:
    import torch

Size = tuple[int, int]

_ABSOLUTE = re.compile(r"pos(ition)?(al)?_?(emb|enc)", re.IGNORECASE)
_RELATIVE = re.compile(r"relative_position_bias_table$|rel_pos(_bias)?(_table)?$")
# Class token, none, class and distillation token, class token with four registers.
_PREFIXES = (1, 0, 2, 5)
# BEiT's tables end with three entries for the class token.
_EXTRA = (0, 3)


@dataclass(frozen=True, slots=True)
class Grids:
    """How the tokens of a table lie: `prefix` of them are no places; (height, width) in the file and the model."""

    prefix: int
    old: Size
    new: Size


def resample(
    state: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], size: Size
) -> dict[str, torch.Tensor]:
    """`state` with every position embedding whose shape differs fitted to that in `wanted`.

    What cannot be understood stays as it is. Tables of absolute positions are (1, N, C), (N, C) or maps
    (1, C, H, W) and (1, H, W, C), tables of relative positions ((2 H - 1) (2 W - 1) + extra, heads).

    Args:
        size: (height, width) of the model's images.
    """
    return {
        name: fitted(name, value, tuple(wanted[name].shape), size)
        if name in wanted and wanted[name].shape != value.shape
        else value
        for name, value in state.items()
    }


def resample_renamed(
    state: Mapping[str, torch.Tensor],
    wanted: Mapping[str, torch.Tensor],
    mismatched: Iterable[tuple[str, tuple[int, ...], tuple[int, ...]]],
    size: Size,
) -> dict[str, torch.Tensor]:
    """The same where transformers renames on loading: `mismatched` has the model's names and both shapes."""
    result = dict(state)
    for name, old, new in mismatched:
        same = [key for key, value in state.items() if tuple(value.shape) == tuple(old) and alike(key, name)]
        if len(same) == 1 and name in wanted:
            result[same[0]] = fitted(name, state[same[0]], tuple(new), size)
    return result


def alike(first: str, second: str) -> bool:
    """Whether two names can stand for one tensor: the last part and the numbers of the layers are the same."""
    return first.rpartition(".")[2] == second.rpartition(".")[2] and _numbers(first) == _numbers(second)


def _numbers(name: str) -> list[str]:
    return [part for part in name.split(".") if part.isdigit()]


def fitted(name: str, value: torch.Tensor, shape: tuple[int, ...], size: Size) -> torch.Tensor:
    """One table as `shape`, or as it is if it is none or does not lie on a grid."""
    layers = require("timm.layers")
    found = grids(name, tuple(value.shape), shape, size)
    if found is None or not value.is_floating_point():
        return value
    if _RELATIVE.search(name):
        resized: torch.Tensor = layers.resize_rel_pos_bias_table(value, found.new, shape)
    elif value.ndim == 4:
        last = value.shape[-1] == shape[-1]
        rows = value if last else value.permute(0, 2, 3, 1)
        resized = layers.resample_abs_pos_embed_nhwc(rows, list(found.new))
        resized = resized if last else resized.permute(0, 3, 1, 2)
    else:
        rows = value.reshape(1, *value.shape[-2:])
        resized = layers.resample_abs_pos_embed(rows, list(found.new), list(found.old), found.prefix)
        resized = resized.reshape(shape)
    return resized.contiguous()


def trained_size(name: str, old: tuple[int, ...], new: tuple[int, ...], size: Size) -> Size | None:
    """The image size that a table of shape `old` is made for, where one of shape `new` is for `size`."""
    found = grids(name, old, new, size)
    if found is None:
        return None
    return found.old[0] * size[0] // found.new[0], found.old[1] * size[1] // found.new[1]


def grids(name: str, old: tuple[int, ...], new: tuple[int, ...], size: Size) -> Grids | None:
    """The two grids of a table of positions; None for any other tensor."""
    if _RELATIVE.search(name) and len(old) == len(new) == 2 and old[1] == new[1]:
        return _windows(old[0], new[0], size)
    if not _ABSOLUTE.search(name) or len(old) != len(new):
        return None
    if len(old) == 4:
        if old[0] == new[0] and old[1] == new[1]:
            return Grids(0, (old[2], old[3]), (new[2], new[3]))
        return Grids(0, (old[1], old[2]), (new[1], new[2])) if old[3] == new[3] else None
    if len(old) not in (2, 3) or old[-1] != new[-1] or (len(old) == 3 and old[0] != 1):
        return None
    for prefix in _PREFIXES:
        placed, here = _square(old[-2] - prefix), _rectangle(new[-2] - prefix, size)
        if placed is not None and here is not None:
            return Grids(prefix, placed, here)
    return None


def _windows(old: int, new: int, size: Size) -> Grids | None:
    for extra in _EXTRA:
        before, after = _square(old - extra), _square(new - extra)
        if before and after and before[0] % 2 and after[0] % 2 and size[0] == size[1]:
            return Grids(extra, ((before[0] + 1) // 2,) * 2, ((after[0] + 1) // 2,) * 2)
    return None


def _square(count: int) -> Size | None:
    side = math.isqrt(count) if count > 0 else 0
    return (side, side) if side and side * side == count else None


def _rectangle(count: int, size: Size) -> Size | None:
    """The grid of `count` places that has the proportions of `size`."""
    height, width = size
    if count <= 0 or count * height % width:
        return None
    rows = math.isqrt(count * height // width)
    return (rows, count // rows) if rows and rows * rows * width == count * height else None
