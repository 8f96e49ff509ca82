"""What does not fit between the tensors of a file and those of a model, in a few words and with a way out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edgevit.core.errors import InputError

if TYPE_CHECKING:
    import torch

    Tensors = Mapping[str, torch.Tensor]

_SHOWN: Final = 3
FEW: Final = 8  # tensors of a head of two or three layers
HINT: Final = "check the model's name, --num-classes, --image-size and --model-arg"
# A counter that batch norm keeps for training; publishers often leave it out.
_OPTIONAL: Final = ".num_batches_tracked"


@dataclass(frozen=True, slots=True)
class Differences:
    """Names that do not fit; false where all do."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected)

    def __str__(self) -> str:
        return "; ".join(describe(self.missing, self.unexpected, ()))

    @property
    def count(self) -> int:
        """How many."""
        return len(self.missing) + len(self.unexpected)


def compare_names(given: Collection[str], wanted: Iterable[str]) -> Differences:
    """Names that the model needs and the file lacks, and names of the file that the model has no place for."""
    needed = list(wanted)
    known = set(needed)
    missing = (name for name in needed if name not in given and not name.endswith(_OPTIONAL))
    return Differences(tuple(missing), tuple(name for name in given if name not in known))


def describe(missing: Sequence[str], unexpected: Sequence[str], reshaped: Sequence[str]) -> tuple[str, ...]:
    """Word a mismatch: the first few of each kind and their number."""
    kinds = (("missing", missing), ("unexpected", unexpected), ("of another shape", reshaped))
    return tuple(f"{len(names)} {kind}: {some(names)}" for kind, names in kinds if names)


def some(names: Sequence[str]) -> str:
    """The first few of many."""
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def other_shapes(given: Tensors, wanted: Tensors) -> list[str]:
    """Tensors of the same name and another shape, with both shapes."""
    return [
        f"{n} ({old} in the file, {new} in the model)" for n, (old, new) in _reshaped(given, wanted).items()
    ]


def shape_error(where: str, given: Tensors, wanted: Tensors) -> InputError | None:
    """The error for tensors of another shape; None if there are none.

    A number of classes that differs is told as such: only the first axis of the classifier's tensors does.
    """
    other = _reshaped(given, wanted)
    if not other:
        return None
    rows = {(old[0], new[0]) if old and new and old[1:] == new[1:] else None for old, new in other.values()}
    pair = rows.pop() if len(rows) == 1 else None
    if pair is not None and len(other) <= FEW and 2 * len(other) < len(wanted) + 2:
        old, new = pair
        return InputError(
            f"the weights in {where} fit but for the classifier: it has {old} classes in the file, {new} in the model "
            f"({some(list(other))})",
            f"give --num-classes {old}, or build the model with a head for {old} classes",
        )
    return InputError(
        f"the weights in {where} are for another architecture: {describe((), (), other_shapes(given, wanted))[0]}",
        HINT,
    )


def _reshaped(given: Tensors, wanted: Tensors) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    shapes = {n: (tuple(given[n].shape), tuple(t.shape)) for n, t in wanted.items() if n in given}
    return {name: pair for name, pair in shapes.items() if pair[0] != pair[1]}
