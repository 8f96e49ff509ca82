"""Slices that are equal parts of one tensor, such as q, k and v, as one SPLIT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from converters.tflite import flatbuffer as tfl
from converters.tflite.products import reshape, transpose
from converters.tflite.wires import Wires

_MOST: Final = 4  # XNNPACK splits into two, three or four parts


@dataclass(frozen=True, slots=True)
class _Parts:
    """All equal parts of `source` along `axis`, in order."""

    source: int
    axis: int
    slices: tuple[Any, ...]


def split(wires: Wires) -> int:
    """Replace such slices; a reshape into heads and a transpose behind every part go in front of it once."""
    changed = 0
    for source in {o.inputs[0]: None for o in wires.operators if wires.kind(o) == "SLICE"}:
        found = _parts(wires, source)
        if found is not None:
            _replace(wires, found)
            changed += 1
    return changed


def _parts(wires: Wires, source: int) -> _Parts | None:
    whole = wires.shape(source)
    by_axis: dict[int, dict[int, Any]] = {}
    for operator in wires.readers.get(source, []):
        if wires.kind(operator) != "SLICE":
            continue
        start, shape = wires.integers(operator.inputs[1]), wires.shape(operator.outputs[0])
        cut = [i for i, n in enumerate(shape) if n != whole[i]]
        if start is None or len(cut) != 1 or start[cut[0]] % shape[cut[0]]:
            continue
        by_axis.setdefault(cut[0], {})[start[cut[0]]] = operator
    for axis, found in by_axis.items():
        slices = [found[start] for start in sorted(found)]
        lengths = {wires.shape(o.outputs[0])[axis] for o in slices}
        if len(lengths) != 1 or not 2 <= len(slices) <= _MOST:
            continue
        if len(slices) * lengths.pop() == whole[axis]:
            return _Parts(source, axis, tuple(slices))
    return None


def _replace(wires: Wires, parts: _Parts) -> None:
    outputs = [int(o.outputs[0]) for o in parts.slices]
    positions = {id(o): i for i, o in enumerate(wires.operators)}
    first = min(parts.slices, key=lambda o: positions[id(o)])
    source, axis = parts.source, parts.axis
    while True:
        following = [wires.only_reader(t) for t in outputs]
        moved = _in_common(wires, outputs, following, source, axis)
        if moved is None:
            break
        kind, value, axis = moved
        shape = value if kind == "RESHAPE" else tuple(wires.shape(source)[i] for i in value)
        target = wires.add_like(source, shape)
        (reshape if kind == "RESHAPE" else _transpose(value))(wires, first, source, target)
        source, outputs = target, [int(o.outputs[0]) for o in following]
        for operator in following:
            wires.remove(operator)
    tflite = tfl.schema()
    made = wires.insert(first, "SPLIT", 1, [_scalar(wires, axis), source], outputs)
    made.builtinOptionsType = tflite.BuiltinOptions.SplitOptions
    made.builtinOptions = tflite.SplitOptionsT()
    made.builtinOptions.numSplits = len(outputs)
    for operator in parts.slices:
        wires.remove(operator)


def _in_common(
    wires: Wires, outputs: list[int], following: list[Any], source: int, axis: int
) -> tuple[str, tuple[int, ...], int] | None:
    """The step that follows every part alike, as one of the whole: its kind and value, and the parts' new axis."""
    kinds = {wires.kind(o) if o is not None else "" for o in following}
    if kinds == {"TRANSPOSE"}:
        axes = {wires.integers(o.inputs[1]) for o in following}
        only = axes.pop()
        return None if axes or only is None else ("TRANSPOSE", only, only.index(axis))
    if kinds != {"RESHAPE"}:
        return None
    shapes = {wires.shape(o.outputs[0]) for o in following}
    part, after, whole = wires.shape(outputs[0]), shapes.pop(), wires.shape(source)
    # Only an axis that is taken apart (channels into heads): the parts are cut along its outer piece.
    inside = len(part) - axis - 1
    if shapes or part[:axis] != after[:axis] or len(after) != len(part) + 1:
        return None
    if part[axis + 1 :] != after[len(after) - inside :]:
        return None
    count = whole[axis] // part[axis]
    return "RESHAPE", (*after[:axis], after[axis] * count, *after[axis + 1 :]), axis


def _transpose(axes: tuple[int, ...]) -> Any:
    return lambda wires, before, source, target: transpose(wires, before, source, axes, target)


def _scalar(wires: Wires, value: int) -> int:
    import numpy as np

    return tfl.add_tensor(wires.model, f"axis/{value}", [], "INT32", np.asarray(value, np.int32))
