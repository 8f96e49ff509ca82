"""Float tensors of a flatbuffer that become integers, one operator after the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from converters.tflite import flatbuffer as tfl
from converters.tflite.kernels import Width
from edgevit.core.quant_params import LIMITS, QuantParams
from edgevit.core.widths import narrowed, widened

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from converters.tflite.objects import Model, Operator

_FROM_INTEGERS: Final = 2  # version of QUANTIZE
_LARGEST: Final = 32767
_SMALLEST: Final = 1e-30


@dataclass(slots=True)
class IntegerTensors:
    """A model on its way from float to integers.

    Attributes:
        held: tensor -> scale and zero point of the integers that it holds by now.
        copies: (tensor, another scale and zero point) -> the same values on those.
        operators: those that are done, in their order.
    """

    model: Model
    held: dict[int, QuantParams] = field(default_factory=dict)
    copies: dict[tuple[int, QuantParams], int] = field(default_factory=dict)
    operators: list[Operator] = field(default_factory=list)

    def become(self, tensor: int, params: QuantParams) -> None:
        """Let a float tensor hold integers."""
        found = tfl.graph(self.model).tensors[tensor]
        found.type = getattr(tfl.schema().TensorType, params.dtype.upper())
        tfl.set_quantization(found, params.scale, params.zero_point)
        self.held[tensor] = params

    def add(self, like: int, params: QuantParams) -> int:
        """A tensor of integers of the shape of another."""
        tensors = tfl.graph(self.model).tensors
        name = f"{self.name(like)}/{params.dtype}"
        made = tfl.add_tensor(self.model, name, tensors[like].shape, params.dtype.upper())
        tfl.set_quantization(tensors[made], params.scale, params.zero_point)
        self.held[made] = params
        return made

    def copy(self, tensor: int, params: QuantParams) -> int:
        """The tensor on another scale and zero point, made once for all its readers; itself where it has them."""
        if self.held[tensor] == params:
            return tensor
        key = (tensor, params)
        if key not in self.copies:
            self.copies[key] = self.add(tensor, params)
            self.emit("QUANTIZE", _FROM_INTEGERS, tensor, self.copies[key])
        return self.copies[key]

    def constant(self, tensor: int, value: NDArray[np.generic], params: QuantParams) -> int:
        """A float constant as integers."""
        import numpy as np

        low, high = LIMITS[params.dtype]
        steps = np.rint(value.astype(np.float64) / params.scale[0]) + params.zero_point[0]
        name, kind = f"{self.name(tensor)}/{params.dtype}", params.dtype.upper()
        made = tfl.add_tensor(self.model, name, value.shape, kind, np.clip(steps, low, high))
        tfl.set_quantization(tfl.graph(self.model).tensors[made], params.scale, params.zero_point)
        return made

    def real(self, tensor: int) -> NDArray[np.generic] | None:
        """The value of a constant of real numbers, None of anything else."""
        if tensor in self.held:
            return None
        value = tfl.constant(self.model, tensor)
        return value if value is not None and value.dtype.kind == "f" else None

    def emit(self, kind: str, version: int, source: int, result: int) -> None:
        """Append an operator of one tensor."""
        made = tfl.new_operator(self.model, kind, version, [source], [result])
        made.inputs, made.outputs = [source], [result]
        self.operators.append(made)

    def name(self, tensor: int) -> str:
        """What the file calls a tensor."""
        return tfl.text(tfl.graph(self.model).tensors[tensor].name)


def of_width(params: QuantParams, width: Width) -> QuantParams:
    """The same range in another width."""
    if params.dtype == width:
        return params
    if width == "int16":
        return widened(params, width)
    return narrowed(params)


def of_values(value: NDArray[np.generic], width: Width) -> QuantParams:
    """Scale and zero point of a constant: what it holds, and 0. A single number is exact, as the largest integer."""
    low, high = min(float(value.min()), 0.0), max(float(value.max()), 0.0)
    if width == "int16":
        return QuantParams("int16", (max(-low, high, _SMALLEST) / _LARGEST,), (0,))
    scale = max(high - low, _SMALLEST) / 255
    return QuantParams("int8", (scale,), (round(-128 - low / scale),))
