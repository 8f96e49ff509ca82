"""All MIL operations that the evaluator knows, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from edgevit.runtimes._mil.kernel import Kernels
from edgevit.runtimes._mil.ops import (
    activation,
    conv,
    elementwise,
    gather,
    linear,
    norm,
    pool,
    quant,
    reduce,
    resize,
    scatter,
    shape,
)

KERNELS: Final[Kernels] = {
    **elementwise.OPERATIONS,
    **activation.OPERATIONS,
    **reduce.OPERATIONS,
    **linear.OPERATIONS,
    **conv.OPERATIONS,
    **pool.OPERATIONS,
    **norm.OPERATIONS,
    **shape.OPERATIONS,
    **gather.OPERATIONS,
    **resize.OPERATIONS,
    **scatter.OPERATIONS,
    **quant.OPERATIONS,
}

# `const` holds a value, `classify` turns probabilities into a label: the reader and the runner do these.
STRUCTURAL: Final[Mapping[str, tuple[str, ...]]] = {
    "classify": ("probabilities", "classes"),
    "const": ("val",),
}
