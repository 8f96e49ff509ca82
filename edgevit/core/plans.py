"""What quantization decides and what a backend can do: quantization parameters, plans, capabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


# Of a model's multiply-accumulates, that may stay in float by choice: with more it would hardly be quantized.
MOST_IN_FLOAT: Final = 0.09


@dataclass(frozen=True, slots=True)
class QuantParams:
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
class DynamicQuantization:
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
    a dynamic one. A product of two activations (`qk`, `av`) has no weight, and `rhs` is the grid
    of its second operand. `sigmoid` is the grid of the sigmoid in the SiLU that alone reads the output.
    """

    site: str
    kind: str
    input: QuantParams | None
    weight: QuantParams | None
    output: QuantParams | None
    bias: Literal["int32", "float32", "none"]
    palette: Palette | None = None
    dynamic: DynamicQuantization | None = None
    rhs: QuantParams | None = None
    sigmoid: QuantParams | None = None


@dataclass(frozen=True, slots=True)
class QuantPlan:
    """All decisions for one target and precision; plain data, the tensors live in plan.safetensors.

    Attributes:
        compute: the float type of everything that is not integer.
        graph_sha256: digest of the weights of the Graph that the plan was made for.
        skipped: (site, reason) of every site that could have been quantized and was not.
        tensors: `SITE.weight` int8 (uint8 for a palette), `SITE.bias` int32 or float32, `SITE.lut`
            float32; numpy arrays.
        capabilities: what the runtime could do when the plan was made.
        outputs: grids of the model's outputs in a file that gives integers; empty where it gives real numbers.
    """

    target: str
    precision: str
    compute: Literal["float32", "float16"]
    graph_sha256: str
    sites: tuple[SitePlan, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    tensors: Mapping[str, NDArray[np.generic]] = field(default_factory=dict, compare=False)
    capabilities: BackendCapabilities | None = None
    outputs: tuple[QuantParams, ...] = ()


@dataclass(frozen=True, slots=True)
class OpCapabilities:
    """What a runtime executes in integers at one kind of site.

    Attributes:
        kind: `linear`, `conv`, `qk`, `av`, ... as in the site's role.
        input, output: integer type of the activation, None where the runtime wants float.
        bias: how the runtime takes the bias.
        weight: what the weight becomes.
        block: of int4 weights, None for one scale per output channel; a weight whose input channels
            are no multiple of it takes int8.
        group: output channels that share a palette.
        dynamic: how the runtime quantizes the input at run time, None where it does not. A site may leave
            out that tokens are `normalized`.
        saturation_limit: largest sum of the magnitudes of two integer weights that are neighbours along the
            sum; None for any. 128 keeps x86 kernels that add pairs in 16 bits exact.
        scale_dtype: the scales of a weight in blocks must be exact in this type, None for the capabilities's.
            bfloat16 stands for what bfloat16 and float16 both hold: float16 with 8 significant bits.
        output_channels: whether the output may have a scale for each channel of its last axis, each with
            zero point 0. It costs a float multiplication where no LayerScale follows.
        sigmoid: integer type of the sigmoid in a SiLU that lies between integers alone, None where SiLU is
            computed in float.
        min_intensity: a model's first sites stay in float as long as their arithmetic intensity, the
            multiply-accumulates for each value that they read or write, is below this, and 9 % of all
            multiply-accumulates are not exceeded.
        fallback: how the input of a site is quantized at run time that `float_macs` takes out of the static
            integers, its output being float; None where it computes in float.
    """

    kind: str
    input: Literal["int8", "uint8"] | None
    output: Literal["int8", "uint8"] | None
    bias: Literal["int32", "float32"]
    weight: Literal["int8", "int4", "lut4", "lut6"] = "int8"
    block: int | None = None
    group: int = 16
    dynamic: DynamicQuantization | None = None
    saturation_limit: int | None = None
    scale_dtype: Literal["float32", "float16", "bfloat16"] | None = None
    output_channels: bool = False
    sigmoid: Literal["uint8"] | None = None
    min_intensity: float = 0.0
    fallback: DynamicQuantization | None = None


@dataclass(frozen=True, slots=True)
class BackendCapabilities:
    """What one target's runtime can do at one precision, as plain data.

    Attributes:
        compute: float type of the remainder.
        kinds: one entry for each kind of site that becomes integer; all other kinds stay float.
        scale_dtype: activation and weight scales must be exact in this type.
        float_macs: of the multiply-accumulates, that may stay in float where rounding activations costs most;
            with those of `min_intensity` 9 % at most.
        folds: exact changes of the graph that are made before anything is decided, in this order: algorithms of
            `edgevit/quant/algorithms`. In a plan, those that changed something.
        outputs: integer type of the model's outputs, None for real numbers.
    """

    target: str
    precision: str
    compute: Literal["float32", "float16"]
    kinds: tuple[OpCapabilities, ...]
    scale_dtype: Literal["float32", "float16"] = "float32"
    float_macs: float = 0.0
    folds: tuple[str, ...] = ()
    outputs: Literal["int8", "uint8"] | None = None
