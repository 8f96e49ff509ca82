"""The bytes of a camera as the input of a file.

An input tensor has one scale and one zero point for all channels. Where a model has the same mean and std in all
channels, and 255 * mean is a whole number, they hold the whole normalisation: (byte - 255 * mean) / (255 * std) is
what the model takes. Elsewhere the input stands for byte / 255, and a convolution of 1x1, which has a scale for each
of its channels, normalises inside the file: in int8 where an integer layer reads the image, so that no float operator
stands at the door, else in float32. It also puts the channels into the order of the model: every file takes RGB. An
int8 input holds byte - 128.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from converters.tflite import flatbuffer as tfl
from converters.tflite.quantize import INT8_VERSION
from edgevit.core.quant_params import QuantParams
from edgevit.core.types import Preprocess

NAME: Final = "image"
_NORMALISED: Final = "image/normalised"
_MOVING: Final = ("PAD", "RESHAPE", "TRANSPOSE")  # move values, or add zeros: a grid passes through
_REQUANTIZE_VERSION: Final = 2
_VALID: Final = 1
_LARGEST: Final = 127
_EXACT: Final = 1e-4  # of a step: how far float32 may be from a whole number

if TYPE_CHECKING:
    from converters.tflite.objects import Model, Operator


@dataclass(frozen=True, slots=True)
class Pixels:
    """How bytes become what the model takes.

    Attributes:
        scale, zero_point: of a uint8 input; the zero point of an int8 one is 128 lower.
        factor, offset: for each channel of the model what the real input is multiplied by, and what is added then.
        order: for each channel of the model that of the file.
    """

    scale: float
    zero_point: int
    factor: tuple[float, ...]
    offset: tuple[float, ...]
    order: tuple[int, ...]

    @property
    def normalised(self) -> bool:
        """Whether scale and zero point hold the whole normalisation."""
        return all(f == 1 for f in self.factor) and not any(self.offset)

    @property
    def as_they_are(self) -> bool:
        """Whether the real input is what the model takes, in its order of channels too."""
        return self.normalised and self.order == tuple(range(len(self.order)))


def pixels_of(preprocess: Preprocess) -> Pixels:
    """The scale and zero point with which bytes are what the model takes, or byte / 255."""
    channels = len(preprocess.mean)
    order = tuple(range(channels))
    if preprocess.color == "bgr":
        order = order[::-1]
    zero = 255 * preprocess.mean[0]
    same = len(set(preprocess.mean)) == 1 and len(set(preprocess.std)) == 1
    if same and 0 <= round(zero) <= 255 and abs(zero - round(zero)) < _EXACT:
        ones, zeros = (1.0,) * channels, (0.0,) * channels
        return Pixels(1 / (255 * preprocess.std[0]), round(zero), ones, zeros, order)
    factor = tuple(1 / s for s in preprocess.std)
    offset = tuple(-m / s for m, s in zip(preprocess.mean, preprocess.std, strict=True))
    return Pixels(1 / 255, 0, factor, offset, order)


def real_input(preprocess: Preprocess) -> Preprocess:
    """With the mean and std that say what the dequantized input is: (byte / 255 - mean) / std."""
    if pixels_of(preprocess).normalised:
        return preprocess
    channels = len(preprocess.mean)
    return replace(preprocess, mean=(0.0,) * channels, std=(1.0,) * channels)


def take_pixels(model: Model, preprocess: Preprocess, dtype: str) -> Mapping[str, str]:
    """Make the float input of `model` one of bytes.

    Args:
        model: takes the normalised image (1, height, width, channels), channels in the model's order.
        dtype: uint8 or int8.

    Returns:
        Tensors that have another name now, by their former one.
    """
    part = tfl.graph(model)
    image = int(part.inputs[0])
    part.tensors[image].name = _NORMALISED.encode()
    door = _Door(model, pixels_of(preprocess), image, dtype)
    for operator in [o for o in part.operators if image in map(int, o.inputs)]:
        door.quantize_at_the_front(operator)
    if any(image in map(int, o.inputs) for o in part.operators):
        door.in_float()
    part.operators = [*door.front, *part.operators]
    part.inputs = [door.entry]
    for signature in model.signatureDefs or ():
        signature.inputs[0].tensorIndex = door.entry
    return {NAME: _NORMALISED, **door.renamed}


@dataclass(slots=True)
class _Door:
    """One edit of a model's input; `front` are the operators that stand before all others then."""

    model: Model
    pixels: Pixels
    image: int
    dtype: str
    entry: int = -1
    front: list[Operator] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.entry = self._tensor(NAME, self.dtype, self.pixels.scale, self._zero(self.dtype))

    def quantize_at_the_front(self, reader: Operator) -> None:
        """Where `reader` is a QUANTIZE, or moves values to one, let it read int8."""
        part = tfl.graph(self.model)
        moving: list[Operator] = []
        while tfl.kind(self.model, reader) in _MOVING:
            after = [o for o in part.operators if int(reader.outputs[0]) in map(int, o.inputs)]
            if len(after) != 1:
                return
            moving.append(reader)
            reader = after[0]
        end = int(reader.outputs[0])
        if tfl.kind(self.model, reader) != "QUANTIZE" or tfl.dtype(part.tensors[end]) != "INT8":
            return
        found = part.tensors[end].quantization
        params = QuantParams("int8", (float(found.scale[0]),), (int(found.zeroPoint[0]),))
        part.operators = [o for o in part.operators if o is not reader]
        source = end
        if moving:
            source = self._tensor(f"{_NORMALISED}/int8", "int8", params.scale[0], params.zero_point[0])
        given = self._int8(source, params)
        if not moving and given != end:
            self.renamed[tfl.text(part.tensors[end].name)] = NAME
            for operator in part.operators:
                operator.inputs = [given if int(t) == end else int(t) for t in operator.inputs]
        for operator in moving:
            made = int(operator.outputs[0])
            part.tensors[made].type = tfl.schema().TensorType.INT8
            tfl.set_quantization(part.tensors[made], params.scale, params.zero_point)
            kind = tfl.kind(self.model, operator)
            tfl.set_version(self.model, operator, kind, INT8_VERSION[kind])
        if moving:
            moving[0].inputs[0] = given
            moving[-1].outputs[0] = end

    def in_float(self) -> None:
        """Give what reads the image in float32 the normalised image."""
        into = self.image
        if not self.pixels.as_they_are:
            shape = tfl.graph(self.model).tensors[self.image].shape
            into = tfl.add_tensor(self.model, f"{NAME}/float32", shape, "FLOAT32")
        self.front.append(tfl.new_operator(self.model, "DEQUANTIZE", 2, [self.entry], [into]))
        if into != self.image:
            self.front.append(self._convolution(into, self.image, None))

    def _int8(self, tensor: int, params: QuantParams) -> int:
        """Make `tensor` of the bytes, int8 on `params`; the input itself where it is that already."""
        own = QuantParams("int8", (_float32(self.pixels.scale),), (self._zero("int8"),))
        if self.pixels.as_they_are:
            if own == params and self.dtype == "int8":
                return self.entry
            self.front.append(self._requantize(tensor))
            return tensor
        source = self.entry
        if self.dtype != "int8":
            source = self._tensor(f"{NAME}/bytes", "int8", own.scale[0], own.zero_point[0])
            self.front.append(self._requantize(source))
        self.front.append(self._convolution(source, tensor, own.scale[0]))
        return tensor

    def _requantize(self, into: int) -> Operator:
        return tfl.new_operator(self.model, "QUANTIZE", _REQUANTIZE_VERSION, [self.entry], [into])

    def _convolution(self, source: int, into: int, scale: float | None) -> Operator:
        """Normalise and order the channels; `scale` is that of an int8 `source`, None of a float one."""
        import numpy as np

        model, count = self.model, len(self.pixels.order)
        select = np.zeros((count, 1, 1, count))
        select[range(count), 0, 0, self.pixels.order] = 1
        factor, offset = np.array(self.pixels.factor), np.array(self.pixels.offset)
        if scale is None:
            values = select * factor[:, None, None, None]
            weight = tfl.add_tensor(model, f"{_NORMALISED}/weight", select.shape, "FLOAT32", values)
            bias = tfl.add_tensor(model, f"{_NORMALISED}/bias", (count,), "FLOAT32", offset)
            operator = tfl.new_operator(model, "CONV_2D", 1, [source, weight, bias], [into])
        else:
            integers = np.array([_weight(o / f / scale) for o, f in zip(offset, factor, strict=True)])
            scales = (factor / integers).astype(np.float32)
            steps = scales.astype(np.float64) * scale
            values = select * integers[:, None, None, None]
            weight = tfl.add_tensor(model, f"{_NORMALISED}/weight/int8", select.shape, "INT8", values)
            bias = tfl.add_tensor(
                model, f"{_NORMALISED}/bias/int32", (count,), "INT32", np.rint(offset / steps)
            )
            tensors = tfl.graph(model).tensors
            tfl.set_quantization(tensors[weight], scales.tolist(), (0,) * count)
            tfl.set_quantization(tensors[bias], steps.tolist(), (0,) * count)
            operator = tfl.new_operator(
                model, "CONV_2D", INT8_VERSION["CONV_2D"], [source, weight, bias], [into]
            )
        options = tfl.schema().Conv2DOptionsT()
        options.padding, options.strideW, options.strideH = _VALID, 1, 1
        options.dilationWFactor = options.dilationHFactor = 1
        operator.builtinOptionsType = tfl.schema().BuiltinOptions.Conv2DOptions
        operator.builtinOptions = options
        return operator

    def _tensor(self, name: str, dtype: str, scale: float, zero_point: int) -> int:
        """An integer tensor of the image's shape."""
        tensors = tfl.graph(self.model).tensors
        made = tfl.add_tensor(self.model, name, tensors[self.image].shape, dtype.upper())
        tfl.set_quantization(tensors[made], (scale,), (zero_point,))
        return made

    def _zero(self, dtype: str) -> int:
        return self.pixels.zero_point - (128 if dtype == "int8" else 0)


def _weight(offset: float) -> int:
    """The integer weight whose multiple of `offset`, in steps of the input, is nearest to a whole number.

    It becomes the bias, and what is rounded off there would shift the whole image.
    """
    return min(
        range(_LARGEST, _LARGEST // 2, -1), key=lambda w: round(abs(w * offset - round(w * offset)), 6)
    )


def _float32(value: float) -> float:
    import numpy as np

    return float(np.float32(value))
