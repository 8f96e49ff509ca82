"""Grids of 8 and 16 bits of one activation, and which of them an operation computes in.

A uint16 grid in steps of 1/257 holds every value of an 8-bit grid, since 65535 = 257 * 255:

    s (q - z) = (s / 257) (257 q - 257 z)         q, z in [0, 255]
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

from edgevit.core.plans import SitePlan
from edgevit.core.quant_params import LIMITS, WIDE, QuantParams

_FACTOR: Final = 257
# Operations whose results lie in [0, 1] whatever they read.
UNIT: Final = ("sigmoid",)


def unit_grid(dtype: Literal["int8", "uint8", "int16", "uint16"]) -> QuantParams:
    """The grid of [0, 1], without 1 itself."""
    bits = 16 if dtype in WIDE else 8
    if dtype == "int16":
        return QuantParams(dtype, (2.0**-15,), (0,))
    return QuantParams(dtype, (2.0**-bits,), (-128 if dtype == "int8" else 0,))


def widened(params: QuantParams, wide: Literal["int16", "uint16"]) -> QuantParams:
    """The 16-bit grid that holds every value of an 8-bit grid: exactly in uint16, to half a step in int16."""
    if params.dtype in WIDE:
        return params
    if wide == "uint16":
        zero = params.zero_point[0] + (128 if params.dtype == "int8" else 0)
        return replace(params, dtype=wide, scale=(params.scale[0] / _FACTOR,), zero_point=(zero * _FACTOR,))
    return symmetric(params)


def symmetric(params: QuantParams) -> QuantParams:
    """The int16 grid with zero point 0 that covers another grid."""
    low, high = ((limit - params.zero_point[0]) * params.scale[0] for limit in LIMITS[params.dtype])
    return QuantParams("int16", (max(-low, high) / 32767,), (0,))


def narrowed(params: QuantParams) -> QuantParams:
    """The int8 grid with zero point 0 that covers an int16 one; one of 8 bits is itself."""
    if params.dtype not in WIDE:
        return params
    return QuantParams("int8", (params.scale[0] * 32767 / 127,), (0,))


def is_wide(*grids: QuantParams | None) -> bool:
    """Whether an operation that reads and writes these computes in 16 bits."""
    return any(params is not None and params.dtype in WIDE for params in grids)


def computed_grid(site: SitePlan) -> QuantParams:
    """The grid that an operation rounds its result to: 16 bits where it computes in them, whatever its output has."""
    assert site.output is not None
    reads = (*site.constants[:1], site.input, site.rhs)
    wide = [params.dtype for params in reads if params is not None and params.dtype in WIDE]
    if not is_wide(site.input, site.rhs) or site.output.dtype in WIDE:
        return site.output
    # the right side of a product is int16 in any case, what stands on its left tells the type
    dtype: Literal["int16", "uint16"] = "uint16" if "uint16" in wide else "int16"
    return unit_grid(dtype) if site.kind in UNIT else widened(site.output, dtype)
