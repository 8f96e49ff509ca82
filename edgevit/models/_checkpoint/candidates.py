"""The pieces of a checkpoint that may be a model's weights: each part, behind each prefix.

A name is compared without wrappers and prefix. What is known to be of the training alone (losses, metrics, counters)
is set aside; everything else that the model has no place for counts against a candidate.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from edgevit.models._checkpoint.mismatch import Differences, compare_names
from edgevit.models._checkpoint.parts import Contents, Part, State, is_average
from edgevit.models._checkpoint.wrappers import (
    WRAPPERS,
    common_prefix,
    fitting_prefixes,
    large_prefixes,
    unwrapped,
)

Adapt = Callable[[State], State]

_SHOWN: Final = 6
# Of averaging: torch's AveragedModel, LitEma, ema_pytorch.
_COUNTER: Final = re.compile(r"n_averaged|decay|num_updates|initted|step|update_after_step")
# Attributes of a training module that hold no part of the model: losses, metrics, augmentation.
_TRAINING: Final = re.compile(
    r"(criterion|criteria|loss(es)?|\w+_loss|loss_\w+|metrics?|\w+_metrics?|(train|val|valid|test)_\w+|acc(uracy)?|\w+_acc)"
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A part behind one prefix.

    Attributes:
        prefix: without wrappers, ending in a dot; "" for none.
        given: the tensors behind it, under the model's names as far as it has them.
        state: the same after the publisher's renaming, if that was needed.
        outside: names of the part that are not the model's.
    """

    part: Part
    prefix: str
    given: State
    state: State
    outside: tuple[str, ...]
    differences: Differences

    @property
    def label(self) -> str:
        """What `--weights-key` calls it; "." for a file that holds nothing but the weights."""
        return ".".join(filter(None, (self.part.key, self.prefix.rstrip(".")))) or "."

    @property
    def averaged(self) -> bool:
        """Whether it is a moving average."""
        return self.part.averaged or is_average(self.prefix)


def candidates(found: Contents, wanted: Iterable[str]) -> list[Candidate]:
    """Every part behind each prefix that names of the model stand behind, and with the model's own prefix added."""
    names = unwrapped(wanted)
    targets = {bare: name for name, bare in names.items()}
    own = common_prefix(targets)
    short = {bare.removeprefix(own): name for bare, name in targets.items()}
    result = []
    for part in found.parts:
        bare = {new: part.state[old] for old, new in unwrapped(part.state).items()}
        fitting = [_behind(part, bare, p, targets) for p in fitting_prefixes(bare, targets)]
        if own and all(c.differences for c in fitting):
            fitting += [_behind(part, bare, p, short) for p in fitting_prefixes(bare, short)]
        result += fitting
    return result


def renamed(found: Contents, wanted: Iterable[str], adapt: Adapt | None) -> list[Candidate]:
    """Every large piece of a checkpoint after a publisher's renaming, or as it is without one."""
    names = tuple(wanted)
    result = []
    for part in found.parts:
        bare = {new: part.state[old] for old, new in unwrapped(part.state).items()}
        for prefix in large_prefixes(bare):
            plain = _behind(part, bare, prefix, {})
            state = plain.given if adapt is None else adapt(dict(plain.given))
            result.append(replace(plain, state=state, differences=compare_names(state, names)))
    return result


def by_key(every: Sequence[Candidate], key: str | None) -> list[Candidate]:
    """Those that `--weights-key` means; all without it."""
    if key is None:
        return list(every)
    given = key.strip(".")
    bare = ".".join(s for s in given.split(".") if s not in WRAPPERS) or given or "."
    return [
        c for c in every if given == c.part.key or any(_begins(n, bare) for n in (c.label, c.prefix) if n)
    ]


def _begins(name: str, key: str) -> bool:
    return name == key or f"{name.rstrip('.')}.".startswith(f"{key}.")


def choices(of: Sequence[Candidate]) -> str:
    """The options of `--weights-key`: of those that fit, or else of all."""
    labels = list(dict.fromkeys(c.label for c in of if not c.differences)) or list(
        dict.fromkeys(c.label for c in of)
    )
    more = ", ..." if len(labels) > _SHOWN else ""
    return " or ".join(f"--weights-key {label}" for label in labels[:_SHOWN]) + more


def _behind(part: Part, bare: State, prefix: str, targets: Mapping[str, str]) -> Candidate:
    tops = {name.partition(".")[0] for name in targets}
    inside: State = {}
    outside = []
    for name, value in bare.items():
        inner = name.removeprefix(prefix)
        top = inner.partition(".")[0]
        if not name.startswith(prefix) or (top not in tops and _not_model(inner, targets)):
            outside.append(name)
        else:
            inside[targets.get(inner, inner)] = value
    return Candidate(part, prefix, inside, inside, tuple(outside), compare_names(inside, targets.values()))


def _not_model(name: str, targets: Mapping[str, str]) -> bool:
    """Whether a name is known to be of the training alone: a counter, a loss, a metric, an average of the model."""
    top, *rest = name.split(".")
    if _COUNTER.fullmatch(name) or _TRAINING.fullmatch(top):
        return True
    return is_average(top) and any(".".join(rest[start:]) in targets for start in range(len(rest)))
