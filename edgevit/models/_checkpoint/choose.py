"""Which part of a checkpoint is the model's, and under which prefix: found by its names, never guessed.

A part counts only if every tensor of the model is in it and nothing else stands among them. Where several do, an
average (EMA) goes before the weights that it was made of, as in timm's own loading, and both are told. Everything else
that leaves a doubt is an error that lists the choices for `--weights-key`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgevit.core.errors import InputError
from edgevit.models._checkpoint.candidates import Adapt, Candidate, by_key, candidates, choices, renamed
from edgevit.models._checkpoint.mismatch import some
from edgevit.models._checkpoint.no_fit import no_fit
from edgevit.models._checkpoint.parts import Contents, State
from edgevit.models._checkpoint.wrappers import WRAPPERS

if TYPE_CHECKING:
    import torch

    Wanted = Mapping[str, torch.Tensor]

_SHOWN: Final = 6


@dataclass(frozen=True, slots=True)
class Chosen:
    """The weights of a file that are the model's.

    Attributes:
        given: before the publisher's renaming, `state` after it; both without wrappers and prefix.
        origin: which part of which file that is.
        notes: what was decided and left out, one sentence each.
        architecture, arguments: what the training script wrote beside the weights; see `Contents`.
    """

    path: Path
    given: State
    state: State
    origin: str
    notes: tuple[str, ...] = ()
    architecture: str = ""
    arguments: Mapping[str, object] = field(default_factory=dict)


def choose(
    path: Path, found: Contents, wanted: Wanted, key: str | None = None, adapt: Adapt | None = None
) -> Chosen:
    """The part of a checkpoint that has all names of `wanted` and no others.

    Args:
        wanted: the state dict of the model; shapes may still differ, as those of another head do.
        key: `--weights-key`: an entry of the checkpoint, a prefix of the names, or both with a dot between them.
        adapt: from a publisher's names to the model's, tried where none fits by its own names.

    Raises:
        UsageError: `key` names nothing in the file.
        InputError: nothing fits, or several that differ do.
    """
    every = candidates(found, wanted)
    whole = [c for c in by_key(every, key) if not c.differences]
    if not whole:
        every = [*every, *renamed(found, wanted, adapt)]
        whole = [c for c in by_key(every, key) if not c.differences]
    if not whole:
        raise no_fit(path, found, every, key, wanted)
    return with_words(path, found, one_of(path, whole, wanted), every, key)


def one_of(path: Path, whole: Sequence[Candidate], wanted: Wanted) -> Candidate:
    """The one that is meant among those that have all names.

    Raises:
        InputError: several differ, and neither or more than one of them is an average.
    """
    fewest = min(_reshaped(c, wanted) for c in whole)
    best: list[Candidate] = []
    for candidate in whole:
        if _reshaped(candidate, wanted) == fewest and not any(_equal(candidate, other) for other in best):
            best.append(candidate)
    best = [c for c in best if not any(_within(c, other) for other in best)]
    averages = [candidate for candidate in best if candidate.averaged]
    if len(best) == 1 or len(averages) == 1:
        return (averages or best)[0]
    raise InputError(
        f"{path} holds {len(best)} sets of weights that fit this model and differ: {', '.join(c.label for c in best)}",
        f"say which one: {choices(best)}",
    )


def with_words(
    path: Path, found: Contents, chosen: Candidate, every: Sequence[Candidate], key: str | None
) -> Chosen:
    """The weights with what has to be said of them; of the others nothing if `key` chose."""
    sentences = []
    others = [
        c for c in every if c.label != chosen.label and not _equal(c, chosen) and not _within(c, chosen)
    ]
    fitting = [c for c in others if not c.differences]
    if fitting and key is None:
        why = (
            "a moving average (EMA), as timm's own loading does"
            if chosen.averaged
            else "which alone has the shapes"
        )
        sentences.append(
            f"{path.name} holds several sets of weights: {chosen.label} was taken, {why}; "
            f"to take another: {choices(fitting)}"
        )
    if key is None and not chosen.averaged:
        sentences += [
            f"{other.label} in {path.name} looks like a moving average and was not taken: {other.differences}"
            for other in others
            if other.differences and other.averaged and other.part.key != chosen.part.key
        ]
        sentences += [
            f"{name} in {path.name} looks like a moving average and was not taken: its tensors have no names"
            for name in found.nameless
        ]
    if found.modules:
        sentences.append(
            f"not read in {path.name}, because they are pickled with their code: {some(found.modules)}"
        )
    known = tuple(c.prefix for c in others if c.part is chosen.part and c.prefix and not c.differences)
    beside = [name for name in chosen.outside if not name.startswith(known)]
    if beside:
        sentences.append(f"left out of {path.name}, because it is not of the model: {_grouped(beside)}")
    given = _as_float32(chosen.given)
    state = given if chosen.state is chosen.given else _as_float32(chosen.state)
    return Chosen(
        path,
        given,
        state,
        _origin(path, chosen),
        tuple(dict.fromkeys(sentences)),
        found.architecture,
        found.arguments,
    )


def _as_float32(state: State) -> State:
    """Floats of 8 and 16 bits as the float32 that each of them is."""
    return {
        name: t.float() if t.is_floating_point() and t.element_size() < 4 else t for name, t in state.items()
    }


def _origin(path: Path, chosen: Candidate) -> str:
    text = path.name if not chosen.part.key else f"{chosen.part.key} in {path.name}"
    if chosen.averaged:
        text += ", a moving average (EMA)"
    segments = {segment for name in chosen.part.state for segment in name.split(".")}
    kept = {segment for name in chosen.given for segment in name.split(".")}
    dropped = [f"{name}." for name in sorted((segments - kept) & WRAPPERS)]
    removed = [chosen.prefix, *dropped] if chosen.prefix else dropped
    if removed:
        text += f", names without {' and '.join(removed)}"
    kinds = {str(t.dtype).removeprefix("torch.") for t in chosen.state.values() if t.is_floating_point()}
    stored = " and ".join(sorted(kinds - {"float32"}))
    return f"{text}, stored as {stored}" if stored else text


def _reshaped(candidate: Candidate, wanted: Wanted) -> int:
    """How many tensors have another shape, the number of classes (their first axis) aside."""
    return sum(wanted[n].shape[1:] != value.shape[1:] for n, value in candidate.state.items() if n in wanted)


def _within(candidate: Candidate, other: Candidate) -> bool:
    """Whether it is the same weights behind a longer prefix, as libraries that strip one themselves accept them."""
    return (
        candidate.part is other.part
        and candidate.prefix != other.prefix
        and candidate.prefix.startswith(other.prefix)
        and not any(name.startswith(candidate.prefix) for name in other.outside)
    )


def _equal(first: Candidate, second: Candidate) -> bool:
    import torch

    return first.state.keys() == second.state.keys() and all(
        value.shape == second.state[name].shape and torch.equal(value, second.state[name])
        for name, value in first.state.items()
    )


def _grouped(names: Sequence[str]) -> str:
    groups = Counter(name.partition(".")[0] for name in names)
    shown = [
        f"{top} ({count} tensor{'s' if count > 1 else ''})" for top, count in list(groups.items())[:_SHOWN]
    ]
    return ", ".join(shown) + (", ..." if len(groups) > _SHOWN else "")
