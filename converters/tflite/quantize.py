"""Write a plan's numbers, or float16 constants, into the float flatbuffer.

Static int8 follows https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec:
int8 activations per tensor, int8 weights per channel with zero point 0, int32 bias whose scale is input
scale times weight scale. Everything around a site stays float, between DEQUANTIZE and QUANTIZE.

A FULLY_CONNECTED with float ends and int8 or int4 weights quantizes each token at run time: low = min(x, 0)
and high = max(x, 0) of the token, scale (high - low) / 255, a zero point in [-128, 127], int32 sums, one
multiplication per output, float bias. XNNPACK's kernel is exact on x86 with and without VNNI and on ARM.
CONV_2D has a dynamic kernel too, with one grid for the whole tensor (a grid per pixel where the kernel is
1x1), DEPTHWISE_CONV_2D one outside of XNNPACK that is six times slower than float: convolutions stay float.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from converters.tflite import channels, weights
from converters.tflite import flatbuffer as tfl
from converters.tflite.sites import Place
from edgevit.core.errors import UnsupportedError
from edgevit.core.plans import QuantPlan, SitePlan
from edgevit.core.quant_params import DynamicQuantization, QuantParams
from edgevit.core.runner import SiteTensors

PER_TOKEN: Final = DynamicQuantization("int8", "token", symmetric=False)

# First version of each operator that takes the types used here.
INT8_VERSION: Final = {
    "FULLY_CONNECTED": 12,
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "PAD": 2,
    "TRANSPOSE": 2,
    "RESHAPE": 1,
}
_BLOCKS_VERSION: Final = 13
_DEQUANTIZE_PER_TENSOR: Final = 2
_DEQUANTIZE_FLOAT16: Final = 3
_DEQUANTIZE_PER_CHANNEL: Final = 5
_FLOAT16_MAX: Final = 65504.0

if TYPE_CHECKING:
    from converters.tflite.objects import Model, Operator


def float_tensors(model: Model, places: tuple[Place, ...]) -> tuple[SiteTensors, ...]:
    """Where the sites are as long as everything around them is float."""
    tensors = tfl.graph(model).tensors
    return tuple(
        SiteTensors(p.site, tfl.text(tensors[p.input].name), tfl.text(tensors[p.output].name)) for p in places
    )


def to_half(model: Model, places: tuple[Place, ...] = (), keep: Collection[str] = ()) -> None:
    """Store float constants as float16 with a DEQUANTIZE behind each; arithmetic stays float32.

    With `keep`, sites that float16 would spoil, only the weights of the other sites become float16: which
    of the small constants belong to a site, the file does not say.
    A constant with a value that float16 cannot hold stays float32, and so does a single number: it
    would take more bytes than it saves.
    """
    import numpy as np

    part = tfl.graph(model)
    readers = part.operators
    if keep:
        readers = [part.operators[place.operator] for place in places if place.site not in keep]
    read = {int(t) for operator in readers for t in operator.inputs}
    read -= {int(t) for place in places if place.site in keep for t in part.operators[place.operator].inputs}
    added = []
    for index in sorted(read):
        value = tfl.constant(model, index)
        if value is None or value.dtype != np.float32 or value.size < 2:
            continue
        if not np.isfinite(value).all() or np.abs(value).max() > _FLOAT16_MAX:
            continue
        tensor = part.tensors[index]
        half = tfl.add_tensor(model, f"{tfl.text(tensor.name)}/float16", value.shape, "FLOAT16", value)
        tensor.buffer = 0
        added.append(tfl.new_operator(model, "DEQUANTIZE", _DEQUANTIZE_FLOAT16, [half], [index]))
    part.operators = added + part.operators


def quantize(model: Model, places: tuple[Place, ...], plan: QuantPlan) -> tuple[SiteTensors, ...]:
    """Apply `plan` to the float `model`; returns the tensors of the plan's sites.

    Raises:
        UnsupportedError: a site that the file does not have.
    """
    by_site = {place.site: place for place in places}
    edit = _Edit(model)
    done = []
    # In the file's order, so that a QUANTIZE that several sites share stands before the first of them.
    for site in sorted(plan.sites, key=lambda s: by_site[s.site].operator if s.site in by_site else -1):
        place = by_site.get(site.site)
        if place is None:
            raise UnsupportedError(
                f"site {site.site} of the plan is not in the TFLite file",
                "the plan was made for another graph; make it again",
            )
        form = _integer if site.input else _at_run_time if site.dynamic else _weight_only
        done.append(form(edit, place, site, plan))
    edit.finish()
    tensors = tfl.graph(model).tensors
    order = {site.site: index for index, site in enumerate(plan.sites)}
    found = [
        SiteTensors(s, tfl.text(tensors[first].name), tfl.text(tensors[last].name)) for s, first, last in done
    ]
    return tuple(sorted(found, key=lambda s: order[s.site]))


@dataclass(slots=True)
class _Edit:
    """One pass over a model: operators to insert, and the integer duplicates of float tensors."""

    model: Model
    before: dict[int, list[Operator]] = field(default_factory=dict)
    after: dict[int, list[Operator]] = field(default_factory=dict)
    duplicates: dict[tuple[int, float, int], int] = field(default_factory=dict)

    def finish(self) -> None:
        """Put the new operators in their places; a tensor with integers on two grids has two names for them."""
        part = tfl.graph(self.model)
        part.operators = [
            operator
            for index, old in enumerate(part.operators)
            for operator in (*self.before.get(index, ()), old, *self.after.get(index, ()))
        ]
        tfl.make_names_unique(self.model)

    def name(self, index: int) -> str:
        return tfl.text(tfl.graph(self.model).tensors[index].name)

    def quantized(self, tensor: int, params: QuantParams, reader: int) -> int:
        """The int8 duplicate of a float tensor on `params`, made once and shared by all its readers."""
        key = (tensor, params.scale[0], params.zero_point[0])
        if key not in self.duplicates:
            duplicate = self.integer_duplicate(tensor, params)
            operator = tfl.new_operator(self.model, "QUANTIZE", 1, [tensor], [duplicate])
            self.before.setdefault(reader, []).append(operator)
            self.duplicates[key] = duplicate
        return self.duplicates[key]

    def integer_duplicate(self, tensor: int, params: QuantParams) -> int:
        old = tfl.graph(self.model).tensors[tensor]
        duplicate = tfl.add_tensor(self.model, f"{self.name(tensor)}/int8", old.shape, "INT8")
        tfl.set_quantization(tfl.graph(self.model).tensors[duplicate], params.scale, params.zero_point)
        return duplicate

    def to_int8(self, tensor: int, params: QuantParams) -> None:
        """Change a float tensor that only this site uses into int8 on `params`."""
        found = tfl.graph(self.model).tensors[tensor]
        found.type = tfl.schema().TensorType.INT8
        tfl.set_quantization(found, params.scale, params.zero_point)


def _weight_only(edit: _Edit, place: Place, site: SitePlan, plan: QuantPlan) -> tuple[str, int, int]:
    operator = tfl.graph(edit.model).operators[place.operator]
    weight = weights.add(edit.model, place, site, plan)
    old = tfl.graph(edit.model).tensors[int(operator.inputs[1])]
    wide = tfl.add_tensor(edit.model, f"{site.site}/weight/float32", old.shape, "FLOAT32")
    edit.before.setdefault(place.operator, []).append(
        tfl.new_operator(edit.model, "DEQUANTIZE", _DEQUANTIZE_PER_CHANNEL, [weight], [wide])
    )
    operator.inputs[1] = wide
    weights.set_float_bias(edit.model, operator, site, plan)
    return site.site, place.input, place.output


def _at_run_time(edit: _Edit, place: Place, site: SitePlan, plan: QuantPlan) -> tuple[str, int, int]:
    """FULLY_CONNECTED with float ends: the kernel makes int8 of each token and multiplies integers."""
    operator = tfl.graph(edit.model).operators[place.operator]
    operator.inputs[1] = weights.add(edit.model, place, site, plan)
    operator.builtinOptions.asymmetricQuantizeInputs = True  # what a kernel other than XNNPACK's shall do
    weights.set_float_bias(edit.model, operator, site, plan)
    blocks = site.weight is not None and site.weight.block is not None
    version = _BLOCKS_VERSION if blocks else INT8_VERSION["FULLY_CONNECTED"]
    tfl.set_version(edit.model, operator, "FULLY_CONNECTED", version)
    return site.site, place.input, place.output


def _integer(edit: _Edit, place: Place, site: SitePlan, plan: QuantPlan) -> tuple[str, int, int]:
    part = tfl.graph(edit.model)
    params, result = site.input, site.output
    assert params is not None and result is not None, site.site
    per_channel = None if result.axis is None else result.scale
    if per_channel is not None:
        site = channels.with_one_scale(site, len(plan.weight(site.site)))
        assert site.output is not None
        result = site.output
    operator = part.operators[place.operator]
    weight = weights.add(edit.model, place, site, plan)
    chain = (*place.before, place.operator, *place.after)
    entry = edit.quantized(place.input, params, chain[0])
    part.operators[chain[0]].inputs[0] = entry
    for index in place.before:
        edit.to_int8(int(part.operators[index].outputs[0]), params)
    operator.inputs[1] = weight
    weights.set_integer_bias(edit.model, operator, site, params, plan)
    for index in chain[:-1]:
        if index not in place.before:
            edit.to_int8(int(part.operators[index].outputs[0]), result)
    leave = edit.integer_duplicate(place.output, result)
    part.operators[chain[-1]].outputs[0] = leave
    real, then = place.output, []
    if per_channel is None:
        # A site that reads this output on the same grid takes the integers, without a way through float.
        edit.duplicates[(place.output, result.scale[0], result.zero_point[0])] = leave
    else:
        real = tfl.add_tensor(edit.model, f"{site.site}/steps", part.tensors[real].shape, "FLOAT32")
        then = channels.multiply(edit.model, place, real, per_channel)
    edit.after.setdefault(chain[-1], []).extend(
        [tfl.new_operator(edit.model, "DEQUANTIZE", _DEQUANTIZE_PER_TENSOR, [leave], [real]), *then]
    )
    for index in chain:
        kind = tfl.kind(edit.model, part.operators[index])
        tfl.set_version(edit.model, part.operators[index], kind, INT8_VERSION[kind])
    return site.site, entry, leave
