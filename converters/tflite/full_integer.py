"""A float flatbuffer with integers throughout: every activation int8 or int16, no float operator between the ends.

    image (float32) QUANTIZE ... integer operators ... DEQUANTIZE outputs (float32)

`converters.tflite.input` and `output` take the two float ends away. An operator computes in int16 where anything that
it reads or writes is int16: a QUANTIZE in front of it widens what is int8, one behind it narrows its result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from converters.tflite import flatbuffer as tfl
from converters.tflite import kernels, weights
from converters.tflite.integer_tensors import IntegerTensors, of_values, of_width
from converters.tflite.kernels import Width
from converters.tflite.sites import Place
from edgevit.core.errors import UnsupportedError
from edgevit.core.plans import QuantPlan, SitePlan
from edgevit.core.quant_params import QuantParams
from edgevit.core.runner import SiteTensors
from edgevit.core.widths import symmetric

if TYPE_CHECKING:
    from converters.tflite.objects import Model, Operator

_FROM_FLOAT, _FROM_INTEGERS = 1, 2  # versions of QUANTIZE
_DEQUANTIZE: Final = {"int8": 2, "int16": 3}


def quantize(
    model: Model, places: tuple[Place, ...], plan: QuantPlan, sites: Mapping[int, str]
) -> tuple[SiteTensors, ...]:
    """Make every operator of `model` an integer one; returns the tensors of each site of the plan that computes.

    Args:
        sites: tensor -> the site whose result it is.

    Raises:
        UnsupportedError: an operator has no integer kernel, or no place in the plan.
    """
    planned = {site.site: site for site in plan.sites}
    by_operator = {place.operator: place for place in places}
    # zeros are added on the grid that the layer reads
    padded = {index: planned[place.site] for place in places for index in place.before}
    return _Rewriting(IntegerTensors(model), plan, planned, by_operator, padded, sites).run()


@dataclass(slots=True)
class _Rewriting:
    """One pass over a model.

    Attributes:
        planned: site -> what the plan says of it.
        places: operator -> the layer that it is.
        padded: operator -> the layer that it pads the input of.
        sites: tensor -> the site whose result it is.
        found: of each site the tensors that it reads and writes.
    """

    tensors: IntegerTensors
    plan: QuantPlan
    planned: Mapping[str, SitePlan]
    places: Mapping[int, Place]
    padded: Mapping[int, SitePlan]
    sites: Mapping[int, str]
    found: list[tuple[str, int, int, int | None]] = field(default_factory=list)

    def run(self) -> tuple[SiteTensors, ...]:
        tensors, model = self.tensors, self.tensors.model
        part = tfl.graph(model)
        (image,) = map(int, part.inputs)
        # the first that reads activations reads the image, whose bytes 8 bits hold
        first = next(site.input for site in self.plan.sites if site.input is not None)
        entry = tensors.add(image, of_width(first, "int8"))
        tensors.emit("QUANTIZE", _FROM_FLOAT, image, entry)
        for index, operator in enumerate(part.operators):
            operator.inputs = [entry if int(t) == image else int(t) for t in operator.inputs]
            operator.outputs = [int(t) for t in operator.outputs]
            self._convert(index, operator)
        for index, old in enumerate(map(int, part.outputs)):
            last = tensors.copy(old, self._last(index, old))
            name = f"{tensors.name(old)}/float32"
            real = tfl.add_tensor(model, name, part.tensors[old].shape, "FLOAT32")
            tensors.emit("DEQUANTIZE", _DEQUANTIZE[tensors.held[last].dtype], last, real)
            self._give(old, real)
        part.operators = tensors.operators
        tfl.make_names_unique(model)
        return tuple(
            SiteTensors(
                site, tensors.name(read), tensors.name(made), "" if rhs is None else tensors.name(rhs)
            )
            for site, read, made, rhs in self.found
        )

    def _last(self, index: int, output: int) -> QuantParams:
        """int8 on the grid that the plan has for the model's output; what it holds where the plan has none."""
        if not self.plan.outputs:
            return self.tensors.held[output]
        params = self.plan.outputs[index]
        if params.dtype == "int8":
            return params
        return replace(params, dtype="int8", zero_point=(params.zero_point[0] - 128,))

    def _give(self, old: int, new: int) -> None:
        """Let the model give `new` under the name of `old`."""
        model = self.tensors.model
        part, name = tfl.graph(model), self.tensors.name(old)
        part.tensors[new].name, part.tensors[old].name = name.encode(), f"{name}/integers".encode()
        part.outputs = [new if int(t) == old else int(t) for t in part.outputs]
        for signature in model.signatureDefs or ():
            for entry in signature.outputs:
                if int(entry.tensorIndex) == old:
                    entry.tensorIndex = new

    def _convert(self, index: int, operator: Operator) -> None:
        kind = tfl.kind(self.tensors.model, operator)
        held = [self.tensors.held[t] for t in operator.inputs if t in self.tensors.held]
        if not held:
            raise UnsupportedError(
                f"{kind} {self.tensors.name(operator.outputs[0])} computes with constants alone",
                "fold it in the model, or leave tflite.backend out",
            )
        if kind in kernels.MOVES - kernels.JOINS:
            self._move(kind, operator, self.padded.get(index), held[0])
        else:
            self._compute(kind, operator, self.places.get(index), held)

    def _move(self, kind: str, operator: Operator, layer: SitePlan | None, held: QuantParams) -> None:
        """What comes out has the grid of what goes in; of a padded image that of the layer which reads it."""
        params = layer.input if layer is not None and layer.input is not None else held
        source = next(t for t in operator.inputs if t in self.tensors.held)
        taken = self.tensors.copy(source, params)
        operator.inputs = [taken if t == source else t for t in operator.inputs]
        self._append(kind, operator, "int16" if params.dtype == "int16" else "int8")
        for tensor in operator.outputs:
            self.tensors.become(tensor, params)

    def _compute(self, kind: str, operator: Operator, place: Place | None, held: list[QuantParams]) -> None:
        """Read, compute and round as the plan says."""
        (result,) = operator.outputs
        site = self.planned.get(place.site if place is not None else self.sites.get(result, ""))
        if site is None or site.output is None:
            raise UnsupportedError(
                f"{kind} {self.tensors.name(result)}: no operation of the plan has its values",
                "it is one of several operators of one operation: write that operation with others",
            )
        wide = any(params.dtype == "int16" for params in (*held, site.output))
        width: Width = "int16" if wide and kernels.version(kind, "int16") is not None else "int8"
        read, rhs = self._operands(kind, operator, site, width)
        if kind in kernels.LAYERS:
            self._layer(place, operator, site, width)
        self._append(kind, operator, width)
        made = kernels.given(kind, width) or of_width(site.output, width)
        if made != site.output:
            operator.outputs = [self.tensors.add(result, made)]
            self.tensors.become(result, site.output)
            self.tensors.emit("QUANTIZE", _FROM_INTEGERS, int(operator.outputs[0]), result)
        else:
            self.tensors.become(result, made)
        self.found.append((site.site, self._start(place, read), result, rhs))

    def _start(self, place: Place | None, read: int) -> int:
        """What a layer reads, in front of the zeros that are added to it."""
        if place is None or not place.before:
            return read
        pad = next(o for o in reversed(self.tensors.operators) if read in o.outputs)
        return int(pad.inputs[0])

    def _operands(
        self, kind: str, operator: Operator, site: SitePlan, width: Width
    ) -> tuple[int, int | None]:
        """Let an operator read activations as the plan has them, and its constants; the activations it reads then."""
        inputs = list(map(int, operator.inputs))
        tensors = self.tensors
        activations = list(dict.fromkeys(t for t in inputs if t in tensors.held))
        taken = {}
        for position, tensor in enumerate(activations):
            asked = (site.input, site.rhs) if position == 0 else (site.rhs, site.input)
            wanted = site.output if kind in kernels.JOINS else _entering(tensors.held[tensor], asked, width)
            assert wanted is not None
            taken[tensor] = tensors.copy(tensor, of_width(wanted, width))
        constants = [t for t in inputs if tensors.real(t) is not None] if kind not in kernels.LAYERS else []
        # a number of the program has no grid in the plan
        own = site.constants if len(site.constants) == len(constants) else (None,) * len(constants)
        for tensor, params in zip(constants, own, strict=True):
            value = tensors.real(tensor)
            assert value is not None
            fits = params is not None and params.dtype == width
            taken[tensor] = tensors.constant(
                tensor, value, params if fits and params else of_values(value, width)
            )
        operator.inputs = [taken.get(t, t) for t in inputs]
        read = [taken[t] for t in activations]
        return read[0], read[1] if len(read) > 1 else None

    def _layer(self, place: Place | None, operator: Operator, site: SitePlan, width: Width) -> None:
        if place is None or site.weight is None:
            raise UnsupportedError(
                f"the plan has no integer weights for {site.site}",
                "make the plan again: it is for another graph",
            )
        read, model = int(operator.inputs[0]), self.tensors.model
        weight = weights.add(model, place, site, self.plan)
        bias = "INT64" if width == "int16" else "INT32"
        weights.set_integer_bias(model, operator, site, self.tensors.held[read], self.plan, bias)
        operator.inputs = [read, weight, *map(int, list(operator.inputs)[2:])]

    def _append(self, kind: str, operator: Operator, width: Width) -> None:
        version = kernels.version(kind, width)
        if version is None:
            raise UnsupportedError(
                f"{kind} {self.tensors.name(int(operator.outputs[0]))} has no {width} kernel in TFLite",
                "write it with other operators, or leave tflite.backend out",
            )
        if kind in ("ADD", "SUB") and operator.builtinOptions is not None:
            operator.builtinOptions.potScaleInt16 = False  # any scale, not only powers of two
        tfl.set_version(self.tensors.model, operator, kind, version)
        self.tensors.operators.append(operator)


def _entering(held: QuantParams, asked: Sequence[QuantParams | None], width: Width) -> QuantParams:
    """On what an operand is read: what the plan says of it, which the file may have as another operand."""
    own = of_width(held, width)
    allowed = (held, own, symmetric(held), symmetric(own))
    return next((params for params in asked if params in allowed and params.dtype == width), own)
