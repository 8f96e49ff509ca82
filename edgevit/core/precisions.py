"""The precisions of the command line; which target writes which is the target's to say."""

from __future__ import annotations

from typing import Final

PRECISIONS: Final = {
    "fp32": "weights and activations in float32",
    "fp16": "weights and activations in float16",
    "w8": "int8 weights, float activations",
    "w8a8": "int8 weights and int8 activations with static ranges: what NPUs need",
    "w8da8": "int8 weights, activations quantized per token at run time",
    "w8a16": "int8 weights, int16 activations, where a runtime really has it",
    "w4": "int4 weights where the target has a kernel, int8 elsewhere",
    "lut4": "weights from a palette of 16 values",
    "lut6": "weights from a palette of 64 values",
}

# Activations with static ranges cannot be quantized without images to measure the ranges on.
NEEDS_CALIBRATION: Final = frozenset({"w8a8", "w8a16"})

# Of one weight, at most as many as a file really takes: some layers stay in float.
WEIGHT_BITS: Final = {
    "fp32": 32,
    "fp16": 16,
    "w8": 8,
    "w8a8": 8,
    "w8da8": 8,
    "w8a16": 8,
    "w4": 4,
    "lut4": 4,
    "lut6": 6,
}
