"""Means over the last axis as means over rows, the only form of them that Arm's Vela takes.

It reduces the depth of (1, h, w, c) where one of h, w and c is 1. So (..., n, c) is read as (1, 1, rows, c), which
moves nothing in memory.
"""

from __future__ import annotations

import math

from converters.tflite.products import reshape
from converters.tflite.use_def import UseDef


def mean_of_rows(use_def: UseDef) -> int:
    """Put such a mean between two reshapes; returns how many."""
    changed = 0
    for operator in list(use_def.operators):
        if use_def.kind(operator) != "MEAN" or not operator.builtinOptions.keepDims:
            continue
        shape, axes = use_def.shape(operator.inputs[0]), use_def.integers(operator.inputs[1])
        if axes is None or {a % len(shape) for a in axes} != {len(shape) - 1} or _is_rows(shape):
            continue
        rows = math.prod(shape[:-1])
        flat = use_def.add_like(operator.inputs[0], (1, 1, rows, shape[-1]))
        reshape(use_def, operator, operator.inputs[0], flat)
        old = operator.outputs[0]
        mean = use_def.add_like(old, (1, 1, rows, 1))
        following = use_def.operators[use_def.operators.index(operator) + 1]
        operator.inputs, operator.outputs = [flat, use_def.constant((3,), "mean/(3,)")], [mean]
        reshape(use_def, following, mean, old)
        changed += 1
    return changed


def _is_rows(shape: tuple[int, ...]) -> bool:
    return len(shape) <= 4 and sum(n > 1 for n in shape) <= 2 and (len(shape) < 4 or shape[0] == 1)
