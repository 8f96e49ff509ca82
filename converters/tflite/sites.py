"""Find every weighted site in the converted flatbuffer, prove it by its weights, and take the markers out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from converters.tflite import flatbuffer as tfl
from converters.tflite.lower import Marked
from edgevit.core.errors import UnsupportedError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from converters.tflite.objects import Model

# What may stand between a fence and its operator: moves values, or adds zeros, so that a grid passes through.
_MOVING: Final = ("PAD", "TRANSPOSE", "RESHAPE")
_OPERATORS: Final = {"linear": ("FULLY_CONNECTED",), "conv": ("CONV_2D", "DEPTHWISE_CONV_2D")}
# PyTorch's (out, in, h, w) as the schema stores it: (out, h, w, in), depthwise (1, h, w, out).
_CONV: Final = (0, 2, 3, 1)
_DEPTHWISE: Final = (1, 2, 3, 0)

# Scale of a fence -> its (quantize, dequantize) operators in order; a layout change has one on each side.
_Markers: TypeAlias = dict[float, list[tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where one site is in the flatbuffer.

    Attributes:
        site, kind: its name and role.
        layout: axes of the weight from PyTorch's order to the file's; channels end at `channel_axis`.
        operator: index of the operator that multiplies.
        before, after: indices of the moving operators up to it and behind it.
        input, output: tensors at the markers, of the site as PyTorch sees it.
    """

    site: str
    kind: str
    layout: tuple[int, ...]
    channel_axis: int
    operator: int
    before: tuple[int, ...]
    after: tuple[int, ...]
    input: int
    output: int


def locate(model: Model, marked: tuple[Marked, ...]) -> tuple[Place, ...]:
    """Find all sites and remove their markers from `model`; tensors get names that tell the site.

    Raises:
        UnsupportedError: a site became something else, or its weights are not the Graph's.
    """
    part = tfl.graph(model)
    markers = _markers(model)
    readers: dict[int, list[int]] = {}
    for index, operator in enumerate(part.operators):
        for tensor in operator.inputs:
            readers.setdefault(int(tensor), []).append(index)
    places = []
    for one in marked:
        if one.before not in markers or one.after not in markers:
            raise _lost(one, "its input or output is gone")
        places.append(_walk(model, one, markers, readers))
    return _remove_markers(model, places, markers)


def to_file(place: Place, weight: NDArray[np.generic]) -> NDArray[np.generic]:
    """A weight in PyTorch's layout as the file stores it."""
    return weight.transpose(place.layout)


def _markers(model: Model) -> _Markers:
    operators = tfl.graph(model).operators
    tensors = tfl.graph(model).tensors
    found: _Markers = {}
    makers = {int(t): i for i, o in enumerate(operators) for t in o.outputs}
    for index, operator in enumerate(operators):
        if tfl.kind(model, operator) != "DEQUANTIZE":
            continue
        integer = int(operator.inputs[0])
        maker = makers.get(integer)
        if maker is not None and tfl.kind(model, operators[maker]) == "QUANTIZE":
            found.setdefault(float(tensors[integer].quantization.scale[0]), []).append((maker, index))
    return found


def _walk(model: Model, one: Marked, markers: _Markers, readers: dict[int, list[int]]) -> Place:
    operators = tfl.graph(model).operators
    start, end = markers[one.before][-1], markers[one.after][0]
    before: list[int] = []
    current = _only_reader(one, int(operators[start[1]].outputs[0]), readers)
    while tfl.kind(model, operators[current]) in _MOVING:
        before.append(current)
        current = _only_reader(one, int(operators[current].outputs[0]), readers)
    found = tfl.kind(model, operators[current])
    if found not in _OPERATORS[one.kind]:
        raise _lost(one, f"it became {found} instead of {' or '.join(_OPERATORS[one.kind])}")
    after: list[int] = []
    following = _only_reader(one, int(operators[current].outputs[0]), readers)
    while following != end[0]:
        if tfl.kind(model, operators[following]) not in _MOVING[1:]:
            raise _lost(one, f"{tfl.kind(model, operators[following])} follows inside of it")
        after.append(following)
        following = _only_reader(one, int(operators[following].outputs[0]), readers)
    if operators[current].builtinOptions.fusedActivationFunction:
        raise _lost(one, "an activation was fused into it")
    layout, axis = tuple(range(one.weight.dim())), 0
    if one.kind == "conv":
        layout, axis = (_DEPTHWISE, 3) if found == "DEPTHWISE_CONV_2D" else (_CONV, 0)
    if len(layout) != one.weight.dim():
        raise _lost(one, f"its weight has {one.weight.dim()} axes")
    place = Place(
        site=one.site,
        kind=one.kind,
        layout=layout,
        channel_axis=axis,
        operator=current,
        before=tuple(before),
        after=tuple(after),
        input=int(operators[start[0]].inputs[0]),
        output=int(operators[end[0]].inputs[0]),
    )
    _confirm(model, one, place)
    return place


def _confirm(model: Model, one: Marked, place: Place) -> None:
    """The names and markers say which operator it is; the weights prove it, to the last bit."""
    import numpy as np

    stored = tfl.constant(model, int(tfl.graph(model).operators[place.operator].inputs[1]))
    wanted = to_file(place, one.weight.numpy())
    if stored is None or stored.shape != wanted.shape or not np.array_equal(stored, wanted):
        raise _lost(one, "its weights in the file are not the model's")


def _only_reader(one: Marked, tensor: int, readers: dict[int, list[int]]) -> int:
    found = readers.get(tensor, [])
    if len(found) != 1:
        raise _lost(one, f"{len(found)} operators read one of its tensors")
    return found[0]


def _remove_markers(model: Model, places: list[Place], markers: _Markers) -> tuple[Place, ...]:
    import numpy as np

    part = tfl.graph(model)
    same: dict[int, int] = {}  # the tensor behind a fence -> the one in front of it
    pairs = [pair for found in markers.values() for pair in found]
    for first, last in pairs:
        same[int(part.operators[last].outputs[0])] = int(part.operators[first].inputs[0])

    def resolve(tensor: int) -> int:
        while tensor in same:
            tensor = same[tensor]
        return tensor

    for operator in part.operators:
        operator.inputs = np.asarray([resolve(int(t)) for t in operator.inputs], np.int32)
    part.outputs = np.asarray([resolve(int(t)) for t in part.outputs], np.int32)
    for signature in model.signatureDefs or ():
        for entry in signature.outputs:
            entry.tensorIndex = resolve(int(entry.tensorIndex))
    removed = {index for pair in pairs for index in pair}
    before = list(part.operators)
    part.operators = [o for index, o in enumerate(before) if index not in removed]
    tensors = tfl.compact(model)
    position = {id(operator): index for index, operator in enumerate(part.operators)}
    order = {old: position[id(o)] for old, o in enumerate(before) if id(o) in position}
    placed = []
    for place in places:
        moved = replace(
            place,
            operator=order[place.operator],
            before=tuple(order[i] for i in place.before),
            after=tuple(order[i] for i in place.after),
            input=tensors[resolve(place.input)],
            output=tensors[resolve(place.output)],
        )
        placed.append(moved)
    return tuple(placed)


def _lost(one: Marked, reason: str) -> UnsupportedError:
    return UnsupportedError(
        f"site {one.site} cannot be placed in the TFLite file: {reason}",
        "leave tflite out of --to, or write the layer as a plain Linear or Conv2d",
    )
