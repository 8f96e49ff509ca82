"""The float flatbuffer with fewer operators that compute the same; what each site multiplies stays."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from converters.tflite import flatbuffer as tfl
from converters.tflite.chains import shorten
from converters.tflite.products import (
    keep_dimensions,
    keep_rank,
    mean_of_long_axes,
    mean_of_transposed,
    transposed_operand,
)
from converters.tflite.sites import Place
from converters.tflite.split import split
from converters.tflite.use_def import edit

if TYPE_CHECKING:
    from collections.abc import Callable

    from converters.tflite.objects import Model
    from converters.tflite.use_def import UseDef

    Passes = tuple[Callable[[UseDef], int], ...]


def tidy(model: Model, places: tuple[Place, ...], further: Passes = ()) -> tuple[Place, ...]:
    """Edit `model`; returns where the sites are afterwards.

    Args:
        further: passes of a backend, made before the last reshapes are joined.

    A site keeps its operator, and a PAD in front of it. Its input and output may lose a change of layout:
    they hold the same values in another order.
    """
    part = tfl.graph(model)
    at = [
        (part.operators[p.operator], [part.operators[i] for i in p.before if _pads(model, i)]) for p in places
    ]
    for passes in (
        (keep_rank, transposed_operand),
        (keep_dimensions, mean_of_transposed, mean_of_long_axes),
        (split,),
        further,
        (shorten,),
    ):
        edit(model, passes)
    tfl.compact(model)
    position = {id(operator): index for index, operator in enumerate(part.operators)}
    moved = []
    for place, (operator, pads) in zip(places, at, strict=True):
        first = pads[0] if pads else operator
        moved.append(
            replace(
                place,
                operator=position[id(operator)],
                before=tuple(position[id(pad)] for pad in pads),
                after=(),
                input=int(first.inputs[0]),
                output=int(operator.outputs[0]),
            )
        )
    return tuple(moved)


def _pads(model: Model, index: int) -> bool:
    return tfl.kind(model, tfl.graph(model).operators[index]) == "PAD"
