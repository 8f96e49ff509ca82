"""MIL elementwise operations: unary, binary, comparison, selection and casts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from edgevit.core.errors import UnsupportedError
from edgevit.runtimes._mil.kernel import Kernel, Kernels

if TYPE_CHECKING:
    from torch import Tensor


def _unary(torch_name: str) -> Kernel:
    def call(x: Tensor) -> Tensor:
        import torch

        function: Callable[[Tensor], Tensor] = getattr(torch, torch_name)
        return function(x)

    return Kernel(call, pointwise=True)


def _binary(torch_name: str) -> Kernel:
    def call(x: Tensor, y: Tensor) -> Tensor:
        import torch

        function: Callable[[Tensor, Tensor], Tensor] = getattr(torch, torch_name)
        return function(x, y)

    return Kernel(call, pointwise=True)


def clip(x: Tensor, alpha: float, beta: float) -> Tensor:
    """y = min(max(x, alpha), beta) for each element of x, any shape, alpha <= beta."""
    return x.clamp(alpha, beta)


def threshold(x: Tensor, alpha: float) -> Tensor:
    """y = max(x, alpha) for each element of x, any shape."""
    return x.clamp(min=alpha)


def inverse(x: Tensor, epsilon: float = 1e-4) -> Tensor:
    """y = 1 / (x + epsilon) for each element; epsilon keeps 0 from giving infinity."""
    return (x + epsilon).reciprocal()


def log(x: Tensor, epsilon: float = 1e-45) -> Tensor:
    """y = ln(x + epsilon) for each element; epsilon keeps 0 from giving minus infinity."""
    return (x + epsilon).log()


def rsqrt(x: Tensor, epsilon: float = 1e-12) -> Tensor:
    """y = 1 / sqrt(x + epsilon) for each element; epsilon keeps 0 from giving infinity."""
    return (x + epsilon).rsqrt()


def select(cond: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """y = a where cond is true (not 0), else b; the three broadcast."""
    import torch

    return torch.where(cond.bool(), a, b)


_BITS: Final = {"int8": 8, "uint8": 8, "int16": 16, "uint16": 16}


def cast(x: Tensor, dtype: str) -> Tensor:
    """Change the type. Towards integers the fraction is cut off, then of types below 32 bits the low bits stay.

    That is what C and numpy do, by which coremltools folds constants: 40000 becomes -25536 as int16, -1
    becomes 255 as uint8. Numbers beyond int32 are undefined there. float16 is rounded by the caller.
    """
    import torch

    types = {"fp32": torch.float32, "fp16": torch.float32, "int32": torch.int32, "bool": torch.bool}
    if dtype in types:
        return x.to(types[dtype])
    if dtype not in _BITS:
        known = ", ".join((*types, *_BITS))
        raise UnsupportedError(f"Core ML operation 'cast' to {dtype!r}", f"known types: {known}")
    lowest = 0 if dtype.startswith("u") else -(1 << (_BITS[dtype] - 1))
    return (x.long() - lowest & (1 << _BITS[dtype]) - 1) + lowest


def identity(x: Tensor) -> Tensor:
    """y = x, any shape and type: names an output of the program."""
    return x


_SAME_NAME = (
    *("abs", "ceil", "erf", "exp", "exp2", "floor", "logical_not", "round", "sign", "sqrt", "square"),
    *("acos", "asin", "atan", "atanh", "cos", "cosh", "sin", "sinh", "tan", "tanh"),
)
_BINARY = {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "real_div": "true_divide",
    "floor_div": "floor_divide",
    "mod": "remainder",
    "pow": "pow",
    "equal": "eq",
    "not_equal": "ne",
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "logical_and": "logical_and",
    "logical_or": "logical_or",
    "logical_xor": "logical_xor",
}

OPERATIONS: Final[Kernels] = {
    **{name: _unary(name) for name in _SAME_NAME},
    **{name: _binary(torch_name) for name, torch_name in _BINARY.items()},
    "maximum": Kernel(_binary("maximum").function, exact=True, pointwise=True),
    "minimum": Kernel(_binary("minimum").function, exact=True, pointwise=True),
    "clip": Kernel(clip, pointwise=True),
    "threshold": Kernel(threshold, pointwise=True),
    "inverse": Kernel(inverse, pointwise=True),
    "log": Kernel(log, pointwise=True),
    "rsqrt": Kernel(rsqrt, pointwise=True),
    "select": Kernel(select, exact=True, pointwise=True),
    "cast": Kernel(cast, pointwise=True),
    "identity": Kernel(identity, exact=True, pointwise=True),
}
