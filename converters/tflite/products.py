"""Matrix products of a flatbuffer at the rank of their operands, and means that keep their axes."""

from __future__ import annotations

import math
from typing import Any, Final

from converters.tflite import flatbuffer as tfl
from converters.tflite.wires import Wires

_RANK: Final = 4


def keep_rank(wires: Wires) -> int:
    """BATCH_MATMUL of flattened operands becomes one of the operands as they were; returns how many.

    The converter flattens the leading axes of both operands and of the result.
    """
    changed = 0
    for operator in list(wires.operators):
        if wires.kind(operator) != "BATCH_MATMUL":
            continue
        sources = [_unflattened(wires, tensor) for tensor in operator.inputs]
        if None in sources or wires.shape(sources[0])[:2] != wires.shape(sources[1])[:2]:  # type: ignore[arg-type]
            continue
        old = operator.outputs[0]
        lead = wires.shape(sources[0])[:2]  # type: ignore[arg-type]
        new = wires.add_like(old, (*lead, *wires.shape(old)[1:]))
        following = wires.operators[wires.operators.index(operator) + 1]
        unread, operator.inputs, operator.outputs = operator.inputs, sources, [new]
        reshape(wires, following, new, old)
        for tensor in unread:
            wires.drop(tensor)
        changed += 1
    return changed


def _unflattened(wires: Wires, tensor: int) -> int | None:
    maker = wires.maker(tensor, "RESHAPE")
    if maker is None:
        return None
    before, after = wires.shape(maker.inputs[0]), wires.shape(tensor)
    same = len(before) == _RANK and len(after) == _RANK - 1 and before[2:] == after[1:]
    return int(maker.inputs[0]) if same else None


def transposed_operand(wires: Wires) -> int:
    """The product reads its second operand transposed instead of being given a transposed copy.

    Where other axes move too, a transpose remains, but one that copies whole rows.
    """
    changed = 0
    for operator in list(wires.operators):
        if wires.kind(operator) != "BATCH_MATMUL":
            continue
        maker = wires.maker(operator.inputs[1], "TRANSPOSE")
        axes = wires.integers(maker.inputs[1]) if maker is not None else None
        if axes is None or len(axes) < 2 or axes[-1] == len(axes) - 1:
            continue
        swapped = (*axes[:-2], axes[-1], axes[-2])
        source = maker.inputs[0]
        if swapped == tuple(range(len(axes))):
            operator.inputs = [operator.inputs[0], source]
        elif swapped[-1] == len(axes) - 1 and wires.only_reader(maker.outputs[0]) is operator:
            new = wires.add_like(maker.outputs[0], [wires.shape(source)[i] for i in swapped])
            wires.insert(
                maker, "TRANSPOSE", 1, [source, wires.constant(swapped, f"transpose/{swapped}")], [new]
            )
            operator.inputs = [operator.inputs[0], new]
        else:
            continue
        operator.builtinOptions.adjY = not operator.builtinOptions.adjY
        wires.update()
        wires.drop(maker.outputs[0])
        changed += 1
    return changed


def keep_dimensions(wires: Wires) -> int:
    """MEAN behind which a reshape puts the axes back becomes a MEAN that keeps them.

    The converter moves that reshape behind the operators on single numbers that follow (variance + eps).
    """
    changed = 0
    for operator in list(wires.operators):
        if wires.kind(operator) != "MEAN" or operator.builtinOptions.keepDims:
            continue
        axes, shape = wires.integers(operator.inputs[1]), wires.shape(operator.inputs[0])
        between: list[int] = []
        reader = wires.only_reader(operator.outputs[0])
        while reader is not None and _on_each_number(wires, reader):
            between.append(reader.inputs[0])
            reader = wires.only_reader(reader.outputs[0])
        if axes is None or reader is None or wires.kind(reader) != "RESHAPE":
            continue
        kept = tuple(1 if i in {a % len(shape) for a in axes} else n for i, n in enumerate(shape))
        if wires.shape(reader.outputs[0]) != kept:
            continue
        operator.builtinOptions.keepDims = True
        for tensor in (*between, reader.inputs[0]):
            wires.set_shape(tensor, kept)
        if not wires.replace(reader.outputs[0], reader.inputs[0]):
            wires.makers[reader.inputs[0]].outputs = list(reader.outputs)
        wires.remove(reader)
        changed += 1
    return changed


def _on_each_number(wires: Wires, operator: Any) -> bool:
    """Whether the operator does the same to every number of its first input."""
    kind = wires.kind(operator)
    if kind in ("ADD", "MUL"):
        other = operator.inputs[1]
        return other not in wires.makers and math.prod(wires.shape(other)) == 1
    return kind == "RSQRT"


def mean_of_long_axes(wires: Wires) -> int:
    """MEAN leaves out the axes of size 1, which are already their own mean."""
    changed = 0
    for operator in wires.operators:
        if wires.kind(operator) != "MEAN" or not operator.builtinOptions.keepDims:
            continue
        axes, shape = wires.integers(operator.inputs[1]), wires.shape(operator.inputs[0])
        long = tuple(a for a in axes or () if shape[a] > 1)
        if long and long != axes:
            operator.inputs = [operator.inputs[0], wires.constant(long, f"mean/{long}")]
            changed += 1
    wires.update()
    return changed


def mean_of_transposed(wires: Wires) -> int:
    """MEAN reads the tensor as it lay before a transpose, if what it leaves over comes in the same order."""
    changed = 0
    for operator in wires.operators:
        if wires.kind(operator) != "MEAN" or operator.builtinOptions.keepDims:
            continue
        maker = wires.maker(operator.inputs[0], "TRANSPOSE")
        order = wires.integers(maker.inputs[1]) if maker is not None else None
        axes = wires.integers(operator.inputs[1])
        if maker is None or order is None or axes is None:
            continue
        reduced = {a % len(order) for a in axes}
        left = [axis for place, axis in enumerate(order) if place not in reduced]
        if left != sorted(left):
            continue
        before = tuple(sorted(order[place] for place in reduced))
        operator.inputs = [maker.inputs[0], wires.constant(before, f"mean/{before}")]
        changed += 1
    wires.update()
    return changed


def reshape(wires: Wires, before: Any, source: int, target: int) -> Any:
    """A RESHAPE in front of an operator."""
    shape = wires.shape(target)
    made = wires.insert(before, "RESHAPE", 1, [source, wires.constant(shape, f"reshape/{shape}")], [target])
    tflite = tfl.schema()
    made.builtinOptionsType = tflite.BuiltinOptions.ReshapeOptions
    made.builtinOptions = tflite.ReshapeOptionsT()
    made.builtinOptions.newShape = list(shape)
    return made


def transpose(wires: Wires, before: Any, source: int, axes: tuple[int, ...], target: int) -> Any:
    """A TRANSPOSE in front of an operator."""
    return wires.insert(before, "TRANSPOSE", 1, [source, wires.constant(axes, f"transpose/{axes}")], [target])
