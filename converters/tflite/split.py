"""Slices that are equal parts of one tensor, such as q, k and v, as one SPLIT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from converters.tflite import flatbuffer as tfl
from converters.tflite.products import reshape, transpose
from converters.tflite.use_def import UseDef

_MOST: Final = 4  # XNNPACK splits into two, three or four parts

if TYPE_CHECKING:
    from converters.tflite.objects import Operator


@dataclass(frozen=True, slots=True)
class _Parts:
    """All equal parts of `source` along `axis`, in order."""

    source: int
    axis: int
    slices: tuple[Operator, ...]


def split(use_def: UseDef) -> int:
    """Replace such slices; a reshape into heads and a transpose behind every part go in front of it once."""
    changed = 0
    for source in {o.inputs[0]: None for o in use_def.operators if use_def.kind(o) == "SLICE"}:
        found = _parts(use_def, source)
        if found is not None:
            _replace(use_def, found)
            changed += 1
    return changed


def _parts(use_def: UseDef, source: int) -> _Parts | None:
    whole = use_def.shape(source)
    by_axis: dict[int, dict[int, Operator]] = {}
    for operator in use_def.readers.get(source, []):
        if use_def.kind(operator) != "SLICE":
            continue
        start, shape = use_def.integers(operator.inputs[1]), use_def.shape(operator.outputs[0])
        cut = [i for i, n in enumerate(shape) if n != whole[i]]
        if start is None or len(cut) != 1 or start[cut[0]] % shape[cut[0]]:
            continue
        by_axis.setdefault(cut[0], {})[start[cut[0]]] = operator
    for axis, found in by_axis.items():
        slices = [found[start] for start in sorted(found)]
        lengths = {use_def.shape(o.outputs[0])[axis] for o in slices}
        if len(lengths) != 1 or not 2 <= len(slices) <= _MOST:
            continue
        if len(slices) * lengths.pop() == whole[axis]:
            return _Parts(source, axis, tuple(slices))
    return None


def _replace(use_def: UseDef, parts: _Parts) -> None:
    outputs = [int(o.outputs[0]) for o in parts.slices]
    positions = {id(o): i for i, o in enumerate(use_def.operators)}
    first = min(parts.slices, key=lambda o: positions[id(o)])
    source, axis = parts.source, parts.axis
    while True:
        following = [o for t in outputs if (o := use_def.only_reader(t)) is not None]
        moved = (
            None if len(following) < len(outputs) else _in_common(use_def, outputs, following, source, axis)
        )
        if moved is None:
            break
        kind, value, axis = moved
        shape = value if kind == "RESHAPE" else tuple(use_def.shape(source)[i] for i in value)
        target = use_def.add_like(source, shape)
        (reshape if kind == "RESHAPE" else _transpose(value))(use_def, first, source, target)
        source, outputs = target, [int(o.outputs[0]) for o in following]
        for operator in following:
            use_def.remove(operator)
    tflite = tfl.schema()
    made = use_def.insert(first, "SPLIT", 1, [_scalar(use_def, axis), source], outputs)
    made.builtinOptionsType = tflite.BuiltinOptions.SplitOptions
    made.builtinOptions = tflite.SplitOptionsT()
    made.builtinOptions.numSplits = len(outputs)
    for operator in parts.slices:
        use_def.remove(operator)


def _in_common(
    use_def: UseDef, outputs: list[int], following: list[Operator], source: int, axis: int
) -> tuple[str, tuple[int, ...], int] | None:
    """The step that follows every part alike, as one of the whole: its kind and value, and the parts' new axis."""
    kinds = {use_def.kind(o) for o in following}
    if kinds == {"TRANSPOSE"}:
        axes = {use_def.integers(o.inputs[1]) for o in following}
        only = axes.pop()
        return None if axes or only is None else ("TRANSPOSE", only, only.index(axis))
    if kinds != {"RESHAPE"}:
        return None
    shapes = {use_def.shape(o.outputs[0]) for o in following}
    part, after, whole = use_def.shape(outputs[0]), shapes.pop(), use_def.shape(source)
    # Only an axis that is taken apart (channels into heads): the parts are cut along its outer piece.
    inside = len(part) - axis - 1
    if shapes or part[:axis] != after[:axis] or len(after) != len(part) + 1:
        return None
    if part[axis + 1 :] != after[len(after) - inside :]:
        return None
    count = whole[axis] // part[axis]
    return "RESHAPE", (*after[:axis], after[axis] * count, *after[axis + 1 :]), axis


def _transpose(axes: tuple[int, ...]) -> Any:
    return lambda use_def, before, source, target: transpose(use_def, before, source, axes, target)


def _scalar(use_def: UseDef, value: int) -> int:
    import numpy as np

    return tfl.add_tensor(use_def.model, f"axis/{value}", [], "INT32", np.asarray(value, np.int32))
