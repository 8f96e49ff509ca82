"""What a MIL operation is to the evaluator: one small function on PyTorch tensors.

A kernel's parameters have the names of the MIL operation's inputs. The annotation of a parameter
says what it receives: `Tensor` (or a tuple of them) gets run-time values and constants alike as
tensors; any other annotation gets a constant of the program as a plain Python value. Defaults are
those of the operator set. A kernel sees the program's own shapes, batch 1 included: the axis of images
is added from outside (`step.Step.images`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Kernel:
    """One MIL operation.

    Attributes:
        function: called with the operation's inputs by name; returns a tensor, or a tuple of
            tensors when the operation has several outputs.
        exact: every element of the result is an element of an input (or a value that float16 has,
            such as 0), so that a float16 result needs no rounding.
        pointwise: an element of the result depends on the broadcast inputs at its own place alone
            (per-channel constants of quantize count as broadcast).
        by_value: parameters whose values decide more than the result's values (they are checked, or
            give its shape), which rules out `torch.vmap` where they come at run time.
    """

    function: Callable[..., Any]
    exact: bool = False
    pointwise: bool = False
    by_value: tuple[str, ...] = ()

    def parameters(self) -> Mapping[str, bool]:
        """Name of each parameter, and whether it takes tensors."""
        found = inspect.signature(self.function).parameters
        return {name: "Tensor" in str(parameter.annotation) for name, parameter in found.items()}

    def required(self) -> tuple[str, ...]:
        """Names of the parameters that have no default."""
        found = inspect.signature(self.function).parameters
        return tuple(name for name, p in found.items() if p.default is inspect.Parameter.empty)


Kernels = Mapping[str, Kernel]
