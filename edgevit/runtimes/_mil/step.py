"""A compiled program: steps with their constants bound, ready to run on many images at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Output:
    """A result: its name, its MIL type, and the tensor type that holds it."""

    name: str
    type: str
    dtype: torch.dtype


@dataclass(frozen=True, slots=True)
class Stage:
    """What happens to every element on its own: a function, then perhaps rounding to float16.

    Attributes:
        function: float32 of any shape -> float32 of that shape; None to round alone.
        operation: the MIL operation and its bound inputs, for whoever merges neighbouring stages.
    """

    function: Callable[[Tensor], Tensor] | None
    rounds: bool
    operation: str = ""
    fixed: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One operation and what follows it elementwise; constants bound, run-time inputs by name.

    Attributes:
        function: called with `operands` and `fixed`; None where the step begins with `stages`, on
            its only operand.
        operands: parameter -> name of a value, or names where it takes several.
        fixed: parameter -> constant.
        numbers: operands that the function takes as plain numbers, and whether these are integers; the
            others are tensors.
        images: how it sees many: their axis in front ("together"), added by `torch.vmap` ("mapped"),
            or one after another ("each"), which an operation needs that looks at values.
        stages: run on the single output, piece by piece.
        last: values that nothing reads after this step.
    """

    operation: str
    function: Callable[..., Any] | None
    operands: Mapping[str, str | tuple[str, ...]]
    fixed: Mapping[str, object]
    outputs: tuple[Output, ...]
    numbers: Mapping[str, bool] = field(default_factory=dict)
    images: Literal["together", "mapped", "each"] = "mapped"
    stages: tuple[Stage, ...] = ()
    last: tuple[str, ...] = ()

    def reads(self) -> tuple[str, ...]:
        """Names of the values that it takes at run time."""
        sources = self.operands.values()
        return tuple(n for source in sources for n in ((source,) if isinstance(source, str) else source))


def as_numbers(value: Tensor, integers: bool) -> Any:
    """A value of the program as a plain number or lists of them; small integers live in float32 tensors."""
    return (value.long() if integers else value).tolist()


@dataclass(frozen=True, slots=True)
class Program:
    """A program ready to run.

    Attributes:
        inputs: name -> MIL type.
        steps: what depends on the inputs, in order.
        constants: every other value that a step or the caller reads.
        wanted: name -> type of what `run` returns.
        labelled: (label output, probabilities output, tensor) of a classify operation.
    """

    inputs: Mapping[str, str]
    steps: tuple[Step, ...]
    constants: Mapping[str, Tensor]
    wanted: Mapping[str, str]
    labelled: tuple[str, str, str] | None
