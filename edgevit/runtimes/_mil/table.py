"""All MIL operations that the evaluator knows, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from edgevit.runtimes import (
    _mil_activation,
    _mil_conv,
    _mil_elementwise,
    _mil_gather,
    _mil_linear,
    _mil_norm,
    _mil_pool,
    _mil_quant,
    _mil_reduce,
    _mil_resize,
    _mil_scatter,
    _mil_shape,
)
from edgevit.runtimes._mil_kernel import Kernels

KERNELS: Final[Kernels] = {
    **_mil_elementwise.OPERATIONS,
    **_mil_activation.OPERATIONS,
    **_mil_reduce.OPERATIONS,
    **_mil_linear.OPERATIONS,
    **_mil_conv.OPERATIONS,
    **_mil_pool.OPERATIONS,
    **_mil_norm.OPERATIONS,
    **_mil_shape.OPERATIONS,
    **_mil_gather.OPERATIONS,
    **_mil_resize.OPERATIONS,
    **_mil_scatter.OPERATIONS,
    **_mil_quant.OPERATIONS,
}

# `const` holds a value, `classify` turns probabilities into a label: the reader and the runner do these.
STRUCTURAL: Final[Mapping[str, tuple[str, ...]]] = {
    "classify": ("probabilities", "classes"),
    "const": ("val",),
}
