"""Matrix products of a flatbuffer at the rank of their operands, and means that keep their axes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from converters.tflite import flatbuffer as tfl
from converters.tflite.use_def import UseDef

_RANK: Final = 4

if TYPE_CHECKING:
    from converters.tflite.objects import Operator


def keep_rank(use_def: UseDef) -> int:
    """BATCH_MATMUL of flattened operands becomes one of the operands as they were; returns how many.

    The converter flattens the leading axes of both operands and of the result.
    """
    changed = 0
    for operator in list(use_def.operators):
        if use_def.kind(operator) != "BATCH_MATMUL":
            continue
        sources = [found for t in operator.inputs if (found := _unflattened(use_def, t)) is not None]
        if len(sources) < 2 or use_def.shape(sources[0])[:2] != use_def.shape(sources[1])[:2]:
            continue
        old = operator.outputs[0]
        lead = use_def.shape(sources[0])[:2]
        new = use_def.add_like(old, (*lead, *use_def.shape(old)[1:]))
        following = use_def.operators[use_def.operators.index(operator) + 1]
        unread, operator.inputs, operator.outputs = operator.inputs, sources, [new]
        reshape(use_def, following, new, old)
        for tensor in unread:
            use_def.drop(tensor)
        changed += 1
    return changed


def _unflattened(use_def: UseDef, tensor: int) -> int | None:
    maker = use_def.maker(tensor, "RESHAPE")
    if maker is None:
        return None
    before, after = use_def.shape(maker.inputs[0]), use_def.shape(tensor)
    same = len(before) == _RANK and len(after) == _RANK - 1 and before[2:] == after[1:]
    return int(maker.inputs[0]) if same else None


def transposed_operand(use_def: UseDef) -> int:
    """The product reads its second operand transposed instead of being given a transposed copy.

    Where other axes move too, a transpose remains, but one that copies whole rows.
    """
    changed = 0
    for operator in list(use_def.operators):
        if use_def.kind(operator) != "BATCH_MATMUL":
            continue
        maker = use_def.maker(operator.inputs[1], "TRANSPOSE")
        axes = use_def.integers(maker.inputs[1]) if maker is not None else None
        if maker is None or axes is None or len(axes) < 2 or axes[-1] == len(axes) - 1:
            continue
        swapped = (*axes[:-2], axes[-1], axes[-2])
        source = maker.inputs[0]
        if swapped == tuple(range(len(axes))):
            operator.inputs = [operator.inputs[0], source]
        elif swapped[-1] == len(axes) - 1 and use_def.only_reader(maker.outputs[0]) is operator:
            new = use_def.add_like(maker.outputs[0], [use_def.shape(source)[i] for i in swapped])
            use_def.insert(
                maker, "TRANSPOSE", 1, [source, use_def.constant(swapped, f"transpose/{swapped}")], [new]
            )
            operator.inputs = [operator.inputs[0], new]
        else:
            continue
        operator.builtinOptions.adjY = not operator.builtinOptions.adjY
        use_def.update()
        use_def.drop(maker.outputs[0])
        changed += 1
    return changed


def keep_dimensions(use_def: UseDef) -> int:
    """MEAN behind which a reshape puts the axes back becomes a MEAN that keeps them.

    The converter moves that reshape behind the operators on single numbers that follow (variance + eps).
    """
    changed = 0
    for operator in list(use_def.operators):
        if use_def.kind(operator) != "MEAN" or operator.builtinOptions.keepDims:
            continue
        axes, shape = use_def.integers(operator.inputs[1]), use_def.shape(operator.inputs[0])
        between: list[int] = []
        reader = use_def.only_reader(operator.outputs[0])
        while reader is not None and _on_each_number(use_def, reader):
            between.append(reader.inputs[0])
            reader = use_def.only_reader(reader.outputs[0])
        if axes is None or reader is None or use_def.kind(reader) != "RESHAPE":
            continue
        kept = tuple(1 if i in {a % len(shape) for a in axes} else n for i, n in enumerate(shape))
        if use_def.shape(reader.outputs[0]) != kept:
            continue
        operator.builtinOptions.keepDims = True
        for tensor in (*between, reader.inputs[0]):
            use_def.set_shape(tensor, kept)
        if not use_def.replace(reader.outputs[0], reader.inputs[0]):
            use_def.makers[reader.inputs[0]].outputs = list(reader.outputs)
        use_def.remove(reader)
        changed += 1
    return changed


def _on_each_number(use_def: UseDef, operator: Operator) -> bool:
    """Whether the operator does the same to every number of its first input."""
    kind = use_def.kind(operator)
    if kind in ("ADD", "MUL"):
        other = operator.inputs[1]
        return other not in use_def.makers and math.prod(use_def.shape(other)) == 1
    return kind == "RSQRT"


def mean_of_long_axes(use_def: UseDef) -> int:
    """MEAN leaves out the axes of size 1, which are already their own mean."""
    changed = 0
    for operator in use_def.operators:
        if use_def.kind(operator) != "MEAN" or not operator.builtinOptions.keepDims:
            continue
        axes, shape = use_def.integers(operator.inputs[1]), use_def.shape(operator.inputs[0])
        long = tuple(a for a in axes or () if shape[a] > 1)
        if long and long != axes:
            operator.inputs = [operator.inputs[0], use_def.constant(long, f"mean/{long}")]
            changed += 1
    use_def.update()
    return changed


def mean_of_transposed(use_def: UseDef) -> int:
    """MEAN reads the tensor as it lay before a transpose, if what it leaves over comes in the same order."""
    changed = 0
    for operator in use_def.operators:
        if use_def.kind(operator) != "MEAN" or operator.builtinOptions.keepDims:
            continue
        maker = use_def.maker(operator.inputs[0], "TRANSPOSE")
        order = use_def.integers(maker.inputs[1]) if maker is not None else None
        axes = use_def.integers(operator.inputs[1])
        if maker is None or order is None or axes is None:
            continue
        reduced = {a % len(order) for a in axes}
        left = [axis for place, axis in enumerate(order) if place not in reduced]
        if left != sorted(left):
            continue
        before = tuple(sorted(order[place] for place in reduced))
        operator.inputs = [maker.inputs[0], use_def.constant(before, f"mean/{before}")]
        changed += 1
    use_def.update()
    return changed


def reshape(use_def: UseDef, before: Operator, source: int, target: int) -> Operator:
    """A RESHAPE in front of an operator."""
    shape = use_def.shape(target)
    made = use_def.insert(
        before, "RESHAPE", 1, [source, use_def.constant(shape, f"reshape/{shape}")], [target]
    )
    tflite = tfl.schema()
    made.builtinOptionsType = tflite.BuiltinOptions.ReshapeOptions
    made.builtinOptions = tflite.ReshapeOptionsT()
    made.builtinOptions.newShape = list(shape)
    return made


def transpose(use_def: UseDef, before: Operator, source: int, axes: tuple[int, ...], target: int) -> Operator:
    """A TRANSPOSE in front of an operator."""
    return use_def.insert(
        before, "TRANSPOSE", 1, [source, use_def.constant(axes, f"transpose/{axes}")], [target]
    )
