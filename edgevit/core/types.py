"""The values that flow through edgevit. Frozen, made of tuples, importable in a millisecond."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from edgevit.core.outputs import LOGITS, OutputKind

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.float32]


# `ModelSpec.preprocess_origin` where nothing is known, and nothing but an inspection was asked for.
NOT_STATED: Final = "unknown: the model states none"


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One named tensor.

    Attributes:
        shape: with the batch axis first.
        dtype: as numpy spells it.
        scale, zero_point: of integers that stand for real numbers: real = scale * (integer - zero_point).
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None


@dataclass(frozen=True, slots=True)
class Preprocess:
    """From an image file to the model's input; the one contract of calibration, validation and artifacts.

    Decode to RGB; turn it upright if `orient` says so; resize so that the *shorter side* is `resize` (or,
    with `squash`, both sides to `height`/`width` over `crop_pct`; or, with `border`, so that the whole image
    fits into `resize`) with Pillow's `interpolation`; crop `height` x `width` from the
    centre; reorder the channels to `color`; then `(value / 255 - mean) / std` per channel.

    Attributes:
        height, width: pixels of the model's input.
        resize: (height, width) after resizing and before the crop; one value in both places
            together with `shorter_side` means "the shorter side, keeping the aspect", two values
            with it mean "the smallest size of the same aspect that covers this rectangle".
        shorter_side: keep the aspect ratio and resize the shorter side to `resize[0]`.
        interpolation: nearest, bilinear, bicubic or lanczos, as Pillow computes them.
        color: rgb or bgr, the channel order that the model was trained with; gray of a model for one channel, whose
            images are what Pillow's convert("L") gives; bands of any other number, which only arrays have.
        mean, std: per channel in the model's own order, in units of the [0, 1] range; as many as there are channels.
        orient: exif to turn images as their EXIF orientation says, as transformers does; none to take the
            pixels as they are stored, as timm, torchvision and Keras do.
        border: of each channel, in RGB where there are three, the byte that surrounds an image which is fitted
            into `resize` as a whole, its aspect kept: timm's crop mode "border". None for the other two ways,
            which leave no border; `shorter_side` is False with it.
    """

    height: int
    width: int
    resize: tuple[int, int]
    shorter_side: bool = True
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    color: Literal["rgb", "bgr", "gray", "bands"] = "rgb"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    orient: Literal["none", "exif"] = "none"
    border: tuple[int, ...] | None = None

    @property
    def channels(self) -> int:
        """How many an image has."""
        return len(self.mean)


@dataclass(frozen=True, slots=True)
class LabelledOutput:
    """One of several outputs with class names of its own, in index order."""

    labels: tuple[str, ...]
    output: OutputKind = LOGITS


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Everything about a model that is not a tensor.

    Attributes:
        name: short name, used for the default output folder.
        source: the MODEL text as the user gave it.
        preprocess: from pixels to the input tensor `image`, float32 (1, 3, height, width).
        outputs: names and shapes of the outputs; the first of a classifier is `logits`.
        labels: class names in index order, of a binary output negative and positive; empty if unknown or
            not a classifier.
        heads: output -> its class names and what it is, for outputs besides the first.
        weights_sha256: digest of all parameters and buffers, by name.
        parameters: number of scalar parameters.
        author, license: of the weights; empty if unknown.
        output: what the first output is. Its activation is known once the model was run on images.
        preprocess_origin: where `preprocess` was taken from, such as "preprocessor_config.json".
        weights_origin: where the weights were taken from, such as "state_dict_ema in model_best.pth.tar"; empty
            where the model is a file with its weights.
        warnings: what the source did to make the weights fit, one sentence each.
    """

    name: str
    source: str
    preprocess: Preprocess
    outputs: tuple[TensorSpec, ...]
    labels: tuple[str, ...]
    weights_sha256: str
    parameters: int
    author: str = ""
    license: str = ""
    output: OutputKind = LOGITS
    preprocess_origin: str = ""
    weights_origin: str = ""
    warnings: tuple[str, ...] = ()
    heads: Mapping[str, LabelledOutput] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TorchModel:
    """A model in eval mode that maps float32 (N, 3, height, width) to a tensor or a tuple of tensors."""

    spec: ModelSpec
    module: torch.nn.Module


@dataclass(frozen=True, slots=True)
class Graph:
    """The exported program, batch 1, after the exact rewrites, every node with its site name.

    Attributes:
        rewrites: names of those that fired.
        notes: what was done to the model before, or why not, one sentence each.
    """

    program: torch.export.ExportedProgram
    rewrites: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stats:
    """What calibration measured: (tensor, observer) -> array.

    A tensor is called by the site that makes it, `image` for the model's input.
    """

    values: Mapping[tuple[str, str], NDArray[np.floating[Any]]]
    images: int
