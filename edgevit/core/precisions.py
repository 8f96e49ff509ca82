"""The precisions of the command line; which target writes which is the target's to say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

WeightType = Literal["float32", "float16", "int8", "int4", "lut4", "lut6"]
Activations = Literal["float", "static", "dynamic"]


class Precision(StrEnum):
    """What the weights and activations of a file are; each is its own word in JSON and on the command line.

    Attributes:
        weights: what a file stores, at the least: some layers stay in float, and int4 is int8 where the target has no
            kernel. `lut4` and `lut6` are indices into palettes.
        bits: of one weight.
        activations: computed in float, or in integers with ranges that are fixed (`static`) or found for each image
            (`dynamic`).
        summary: in a few words.

    Example:
        >>> Precision.W8A8.needs_calibration
        True
    """

    weights: WeightType
    bits: int
    activations: Activations
    summary: str

    FP32 = "fp32", "float32", 32, "float", "weights and activations in float32"
    FP16 = "fp16", "float16", 16, "float", "weights and activations in float16"
    W8 = "w8", "int8", 8, "float", "int8 weights, float activations"
    W8A8 = "w8a8", "int8", 8, "static", "int8 weights and int8 activations with static ranges: what NPUs need"
    W8DA8 = "w8da8", "int8", 8, "dynamic", "int8 weights, activations quantized per token at run time"
    W8A16 = "w8a16", "int8", 8, "static", "int8 weights, int16 activations, where a runtime really has it"
    W4 = "w4", "int4", 4, "float", "int4 weights where the target has a kernel, int8 elsewhere"
    LUT4 = "lut4", "lut4", 4, "float", "weights from a palette of 16 values"
    LUT6 = "lut6", "lut6", 6, "float", "weights from a palette of 64 values"

    def __new__(
        cls, word: str, weights: WeightType, bits: int, activations: Activations, summary: str
    ) -> Precision:
        """A member, whose value is its word alone."""
        self = str.__new__(cls, word)
        self._value_ = word
        self.weights, self.bits, self.activations, self.summary = weights, bits, activations, summary
        return self

    @classmethod
    def named(cls, word: object) -> Precision | None:
        """The precision of a word that a user, a file or a folder gave; None if it is none."""
        return next((precision for precision in cls if precision.value == word), None)

    @property
    def needs_plan(self) -> bool:
        """Whether a plan says how it is quantized; float files are converted as they are."""
        return self.weights not in ("float32", "float16")

    @property
    def needs_calibration(self) -> bool:
        """Whether ranges have to be measured on images."""
        return self.activations == "static"

    @property
    def quantizes_activations(self) -> bool:
        """Whether activations are integers too, so that a file has integer kernels to show."""
        return self.activations != "float"


@dataclass(frozen=True, slots=True)
class Variant:
    """One file of a bundle: which target at which precision."""

    target: str
    precision: Precision

    def __str__(self) -> str:
        """As reports and messages name it: `onnx/w8a8`."""
        return f"{self.target}/{self.precision}"
