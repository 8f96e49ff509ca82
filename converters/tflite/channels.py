"""An int8 output with a scale per channel, from kernels that have one for all channels.

The integers stay as they are. The scales that the file states for the weight's rows are divided by the
output's, which makes the kernel's own output scale 1, and the float MUL behind DEQUANTIZE brings each
channel back to its scale: the MUL of a LayerScale where one follows, else a new one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from converters.tflite import flatbuffer as tfl
from converters.tflite.sites import Place
from edgevit.core.plans import SitePlan
from edgevit.core.quant_params import QuantParams

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from converters.tflite.objects import Model, Operator

_STEPS: Final = QuantParams("int8", (1.0,), (0,))


def with_one_scale(site: SitePlan, channels: int) -> SitePlan:
    """The same integers with scales that the kernel has: output scale 1, weight scales divided by the output's."""
    weight, output = site.weight, site.output
    if weight is None or output is None:
        return site
    own = weight.scale if len(weight.scale) == channels else weight.scale * channels
    divided = tuple(w / s for w, s in zip(own, output.scale, strict=True))
    return replace(
        site, weight=replace(weight, scale=divided, zero_point=(0,) * channels, axis=0), output=_STEPS
    )


def multiply(model: Model, place: Place, steps: int, scale: tuple[float, ...]) -> list[Operator]:
    """Multiply the dequantized `steps` of each channel by its scale; returns the operators to insert for it."""
    import numpy as np

    factors = np.asarray(scale, np.float32)
    found = _only_product(model, place.output)
    if found is not None:
        operator, position, constant = found
        both = np.multiply(constant, factors, dtype=np.float32)
        other = tfl.add_tensor(model, f"{place.site}/output/scale", both.shape, "FLOAT32", both)
        operator.inputs[position], operator.inputs[1 - position] = other, steps
        return []
    held = tfl.add_tensor(model, f"{place.site}/output/scale", factors.shape, "FLOAT32", factors)
    product = tfl.new_operator(model, "MUL", 1, [steps, held], [place.output])
    product.builtinOptionsType = tfl.schema().BuiltinOptions.MulOptions
    product.builtinOptions = tfl.schema().MulOptionsT()
    return [product]


def _only_product(model: Model, tensor: int) -> tuple[Operator, int, NDArray[np.float32]] | None:
    """The MUL by a constant that alone reads `tensor`: the operator, and its constant's position and value."""
    part = tfl.graph(model)
    readers = [o for o in part.operators if tensor in [int(t) for t in o.inputs]]
    if len(readers) != 1 or tensor in [int(t) for t in part.outputs]:
        return None
    operator = readers[0]
    if tfl.kind(model, operator) != "MUL" or list(operator.inputs).count(tensor) != 1:
        return None
    position = 1 - [int(t) for t in operator.inputs].index(tensor)
    constant = tfl.constant(model, int(operator.inputs[position]))
    channels = int(part.tensors[tensor].shape[-1])
    if (
        constant is None
        or constant.size not in (1, channels)
        or constant.shape[-1:] not in ((), (1,), (channels,))
    ):
        return None
    return operator, position, constant.astype("float32")
