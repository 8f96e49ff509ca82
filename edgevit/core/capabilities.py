"""What the backend of a target can do at a precision, as plain data: what is quantized, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from edgevit.core.precisions import Precision
from edgevit.core.quant_params import WIDE, DynamicQuantization

ActivationType = Literal["int8", "uint8", "int16", "uint16"]
# Of a model's multiply-accumulates, that may stay in float by choice: with more it would hardly be quantized.
MOST_IN_FLOAT: Final = 0.09


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
        scale_dtype: the scales of a weight in blocks must be exact in this type, None for the
            backend's. bfloat16 stands for what bfloat16 and float16 both hold: float16 with 8 significant bits.
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
    input: ActivationType | None
    output: ActivationType | None
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
        backend: what of the target's backends this is, "" where it has one.
        activations: integer type of every activation of the model, also between operations that multiply nothing;
            None where only what `kinds` names is quantized.
        wide: integer type, of 16 bits, of those that do not bear `activations`; None where there is no such type.
        kernel_noise: how far at most a kernel's result is from the real one before it is rounded, in steps of its
            grid; the noise floor of comparisons follows from it. 0: half of what `kernel_steps` says.
        unit: kinds besides sigmoid whose kernels give [0, 1] on the grid of that range and no other.
        wide_kinds: kinds of operations that compute in `wide` whatever they read and write.
        kernel_steps: (kind of operation, "" for all others) -> how many steps of its 16-bit result a kernel may be off;
            one of 8 bits is off by `narrow_steps` at most. Empty where kernels are exact.
        fixed_point: kernels multiply sums by integers and shift, as TFLite's do: `edgevit.quant.fixed_point`.
    """

    target: str
    precision: Precision
    compute: Literal["float32", "float16"]
    kinds: tuple[OpCapabilities, ...]
    scale_dtype: Literal["float32", "float16"] = "float32"
    float_macs: float = 0.0
    folds: tuple[str, ...] = ()
    outputs: Literal["int8", "uint8"] | None = None
    backend: str = ""
    activations: ActivationType | None = None
    wide: Literal["int16", "uint16"] | None = None
    unit: tuple[str, ...] = ()
    wide_kinds: tuple[str, ...] = ()
    kernel_steps: tuple[tuple[str, int], ...] = ()
    narrow_steps: int = 1
    kernel_noise: float = 0.0
    fixed_point: bool = False

    def steps_off(self, kind: str, dtype: str) -> int:
        """How many steps the result of a kernel that computes in `dtype` may be off."""
        known = dict(self.kernel_steps)
        if not known:
            return 0
        return known.get(kind, known.get("", 1)) if dtype in WIDE else self.narrow_steps
