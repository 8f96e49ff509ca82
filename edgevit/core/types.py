"""The values that flow through edgevit. Frozen, made of tuples, importable in a millisecond."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.float32]

# ------------------------------------------------------------------ models


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One named tensor: `shape` with the batch axis first, `dtype` as numpy spells it."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Preprocess:
    """From an image file to the model's input; the one contract of calibration, validation and artifacts.

    Decode to RGB; resize so that the *shorter side* is `resize` (or, with `squash`, both sides to
    `height`/`width` over `crop_pct`) with Pillow's `interpolation`; crop `height` x `width` from the
    centre; reorder the channels to `color`; then `(value / 255 - mean) / std` per channel.

    Attributes:
        height, width: pixels of the model's input.
        resize: (height, width) after resizing and before the crop; one value in both places
            together with `shorter_side` means "the shorter side, keeping the aspect", two values
            with it mean "the smallest size of the same aspect that covers this rectangle".
        shorter_side: keep the aspect ratio and resize the shorter side to `resize[0]`.
        interpolation: nearest, bilinear, bicubic or lanczos, as Pillow computes them.
        color: rgb or bgr, the channel order that the model was trained with.
        mean, std: per channel in the model's own order, in units of the [0, 1] range.
    """

    height: int
    width: int
    resize: tuple[int, int]
    shorter_side: bool = True
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    color: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Everything about a model that is not a tensor.

    Attributes:
        name: short name, used for the default output folder.
        source: the MODEL text as the user gave it.
        preprocess: from pixels to the input tensor `image`, float32 (1, 3, height, width).
        outputs: names and shapes of the outputs; the first of a classifier is `logits`.
        labels: class names in index order; empty if unknown or not a classifier.
        weights_sha256: digest of all parameters and buffers, by name.
        parameters: number of scalar parameters.
        author, license: of the weights; empty if unknown.
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


@dataclass(frozen=True, slots=True)
class TorchModel:
    """A model in eval mode that maps float32 (N, 3, height, width) to a tensor or a tuple of tensors."""

    spec: ModelSpec
    module: torch.nn.Module


@dataclass(frozen=True, slots=True)
class Graph:
    """The exported program, batch 1, after the exact rewrites, every node with its site name."""

    program: torch.export.ExportedProgram
    rewrites: tuple[str, ...] = ()


# ------------------------------------------------------------------ quantization


@dataclass(frozen=True, slots=True)
class Grid:
    """An affine grid: real = scale * (integer - zero_point).

    Attributes:
        dtype: int4, int8, uint8 or int32 (weights are symmetric: int8 in [-127, 127], int4 in [-7, 7],
            stored as int8 in the plan).
        scale, zero_point: one value (per tensor) or one per index of `axis`; with `block`, for each
            index of `axis` (which is 0) one per block, row by row.
        axis: the channel axis of the tensor as PyTorch stores it, None when per tensor.
        block: how many neighbours along axis 1, the input channels of a linear layer, share a scale.
    """

    dtype: Literal["int4", "int8", "uint8", "int32"]
    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None = None
    block: int | None = None


@dataclass(frozen=True, slots=True)
class Palette:
    """A weight as indices into short lists of values, one list for each group of output channels.

    The values are the float32 tensor `SITE.lut` (groups, 2**bits) of the plan, the indices the uint8
    tensor `SITE.weight` of the weight's shape.

    Attributes:
        bits: of an index.
        group: output channels that share a list.
    """

    bits: int
    group: int


@dataclass(frozen=True, slots=True)
class Dynamic:
    """How a kernel chooses the grid of its input at run time.

    Attributes:
        dtype: of the integers; int8 without `symmetric` and uint8 have a zero point.
        per: one grid for the whole tensor, for each token (a row of the last axis), or for each block
            of `block` neighbours in a row.
        symmetric: zero point 0, the largest magnitude becomes 127.
        normalized: each token is divided by its largest magnitude before, and multiplied by it again behind
            the product; then one grid for the whole tensor fits all tokens alike.
    """

    dtype: Literal["int8", "uint8"]
    per: Literal["tensor", "token", "block"]
    symmetric: bool
    block: int | None = None
    normalized: bool = False


@dataclass(frozen=True, slots=True)
class SitePlan:
    """What happens at one site. None means float.

    `input` and `output` are the activation grids, `weight` the grid of the rounded weight, which
    is the int8 tensor `SITE.weight` of the plan. `bias` is int32 (scale = input scale * weight
    scale per channel, the tensor `SITE.bias`, which then replaces the float bias), float32, or
    none. A float bias that the plan corrected is the float32 tensor `SITE.bias`; without that
    tensor it is the model's own. A weight has a grid or a palette; an input has a static grid or
    a dynamic one. A product of two activations (`qk`, `av`) has no weight, and `second` is the grid
    of its second operand.
    """

    site: str
    kind: str
    input: Grid | None
    weight: Grid | None
    output: Grid | None
    bias: Literal["int32", "float32", "none"]
    palette: Palette | None = None
    dynamic: Dynamic | None = None
    second: Grid | None = None


@dataclass(frozen=True, slots=True)
class QuantPlan:
    """All decisions for one target and precision; plain data, the tensors live in plan.safetensors.

    Attributes:
        compute: the float type of everything that is not integer.
        graph_sha256: digest of the weights of the Graph that the plan was made for.
        skipped: (site, reason) of every site that could have been quantized and was not.
        tensors: `SITE.weight` int8 (uint8 for a palette), `SITE.bias` int32 or float32, `SITE.lut`
            float32; numpy arrays.
        placement: what the runtime could do when the plan was made.
    """

    target: str
    precision: str
    compute: Literal["float32", "float16"]
    graph_sha256: str
    sites: tuple[SitePlan, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    tensors: Mapping[str, NDArray[np.generic]] = field(default_factory=dict, compare=False)
    placement: Placement | None = None


@dataclass(frozen=True, slots=True)
class Stats:
    """What calibration measured: (tensor, observer) -> array.

    A tensor is called by the site that makes it, `image` for the model's input.
    """

    values: Mapping[tuple[str, str], NDArray[np.floating[Any]]]
    images: int


@dataclass(frozen=True, slots=True)
class KindPlacement:
    """What a runtime executes in integers at one kind of site.

    Attributes:
        kind: `linear`, `conv`, `qk`, `av`, ... as in the site's role.
        input, output: integer type of the activation, None where the runtime wants float.
        bias: how the runtime takes the bias.
        weight: what the weight becomes.
        block: of int4 weights, None for one scale per output channel; a weight whose input channels
            are no multiple of it takes int8.
        group: output channels that share a palette.
        dynamic: how the runtime quantizes the input at run time, None where it does not.
        pair_limit: largest sum of the magnitudes of two integer weights that are neighbours along the
            sum; None for any. 128 keeps x86 kernels that add pairs in 16 bits exact.
        scale_dtype: the scales of a weight in blocks must be exact in this type, None for the placement's.
            bfloat16 stands for what bfloat16 and float16 both hold: float16 with 8 significant bits.
        output_channels: whether the output may have a scale for each channel of its last axis, each with
            zero point 0. It costs a float multiplication where no LayerScale follows.
    """

    kind: str
    input: Literal["int8", "uint8"] | None
    output: Literal["int8", "uint8"] | None
    bias: Literal["int32", "float32"]
    weight: Literal["int8", "int4", "lut4", "lut6"] = "int8"
    block: int | None = None
    group: int = 16
    dynamic: Dynamic | None = None
    pair_limit: int | None = None
    scale_dtype: Literal["float32", "float16", "bfloat16"] | None = None
    output_channels: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """What one target's runtime can do at one precision, as plain data.

    Attributes:
        compute: float type of the remainder.
        kinds: one entry for each kind of site that becomes integer; all other kinds stay float.
        scale_dtype: activation and weight scales must be exact in this type.
    """

    target: str
    precision: str
    compute: Literal["float32", "float16"]
    kinds: tuple[KindPlacement, ...]
    scale_dtype: Literal["float32", "float16"] = "float32"


# ------------------------------------------------------------------ artifacts and runners


@dataclass(frozen=True, slots=True)
class SiteTensors:
    """Where a site lives in an artifact: names of tensors that a Runner can tap.

    `input` and `output` name the integer tensors where the plan has grids, else the float ones; `second`
    is the second operand of a product of two activations, "" where that is a weight.
    """

    site: str
    input: str
    output: str
    second: str = ""


@dataclass(frozen=True, slots=True)
class FileValue:
    """A computed tensor of an artifact.

    Attributes:
        tap: what a Runner calls it.
        site: the site that it belongs to, "" where the file does not say.
        elements: number of its values for one image, None where the file does not say.
        scale, zero_point: real = scale * (stored - zero_point); None for a tensor of real numbers.
    """

    tap: str
    site: str = ""
    elements: int | None = None
    scale: float | None = None
    zero_point: int = 0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to open an artifact.

    Attributes:
        threads: 0 for all cores.
        taps: names of intermediate tensors to return besides the outputs.
        preprocess: used only for a file that carries none of its own.
    """

    threads: int = 0
    taps: tuple[str, ...] = ()
    preprocess: Preprocess | None = None


class Runner(Protocol):
    """An opened artifact. Pixels in, outputs by name out."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def run(self, pixels: Pixels) -> dict[str, NDArray[np.generic]]:
        """Execute on images that are already resized and cropped.

        Args:
            pixels: uint8 (N, height, width, 3), RGB. The runner applies the artifact's own
                normalisation and channel order; N may be anything, the file's batch is 1.

        Returns:
            Each output, and each tapped tensor in its own type and the artifact's own layout,
            stacked to (N, ...) with the batch axis of 1 removed.
        """
        ...

    def prepare(self, pixels: Pixels) -> object:
        """The file's own input for one image, (1, height, width, 3): so that timing excludes preprocessing."""
        ...

    def invoke(self, prepared: object) -> None:
        """Execute once on what `prepare` returned: what a latency measurement times."""
        ...


@dataclass(frozen=True, slots=True)
class IntegerMacs:
    """Multiply-accumulates that are executed in integer kernels.

    Attributes:
        static, dynamic: MACs in kernels with static or run-time activation ranges.
        source: `runtime` if seen in the runtime's own graph, `program` if it is what the program permits.
        operators: (operator type, count) of what was found, for the report.
        partitions: number of delegate partitions, None where the runtime has none.
    """

    static: int
    dynamic: int
    source: Literal["runtime", "program"]
    operators: tuple[tuple[str, int], ...] = ()
    partitions: int | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """What was read back from an artifact.

    Attributes:
        preprocess, labels: embedded metadata; None and empty if the file has none.
        weight_bytes: bytes of stored constants by dtype, for example {"int8": n, "float32": n}.
        operators: (operator type, count), most frequent first.
        max_rank: highest rank of any tensor.
        metadata: everything else that is embedded, as text.
    """

    preprocess: Preprocess | None
    labels: tuple[str, ...]
    weight_bytes: Mapping[str, int]
    operators: tuple[tuple[str, int], ...]
    max_rank: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
