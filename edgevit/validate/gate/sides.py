"""The two things that are compared, unpacked, with the answers of both in the same words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from edgevit.core.errors import InputError
from edgevit.core.results.baseline import AGAIN, Baseline, BaselineFile, Decoded, decode
from edgevit.core.results.outcomes import Answers, Column, unpack_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_CLASSES: Final = 1_000_000
MOST_SITES: Final = 100_000


@dataclass(frozen=True, slots=True)
class Output:
    """One output with its answers.

    Attributes:
        classes: names in index order; empty if unknown.
        reference: answers of the float model.
        answers: file -> its answers; nothing for a file that was not executed.
        by_index, by_name: digests of the images' labels, as indices and as names of classes; "" without labels.
    """

    classes: tuple[str, ...]
    reference: Decoded
    answers: Mapping[str, Decoded]
    by_index: str = ""
    by_name: str = ""


@dataclass(frozen=True, slots=True)
class Shipped:
    """A bundle as the gate sees it.

    Attributes:
        in_float: file -> names of the sites that stayed in float.
        first: the first output.
        heads: further outputs with class names, by their names.
    """

    facts: Baseline
    in_float: Mapping[str, tuple[str, ...]]
    first: Output
    heads: Mapping[str, Output]

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the first output."""
        return self.first.classes

    @property
    def reference(self) -> Decoded:
        """What the float model's first output answers."""
        return self.first.reference

    @property
    def answers(self) -> Mapping[str, Decoded]:
        """What each file's first output answers."""
        return self.first.answers

    def file(self, name: str) -> BaselineFile | None:
        """What is known of a file."""
        return next((file for file in self.facts.files if file.name == name), None)


@dataclass(frozen=True, slots=True)
class Seen:
    """The evaluation images as the new run saw them, (N,).

    Attributes:
        names: of the images.
        labels: index of the class, -1 for none; None without labels.
        margins: by how much the float model's best class leads the second one, in logits; None where nothing is
            decided.
    """

    names: tuple[str, ...]
    labels: NDArray[np.int64] | None
    margins: NDArray[np.float32] | None


def open_baseline(facts: Baseline, where: str) -> Shipped:
    """Unpack a baseline.

    Raises:
        InputError: what is packed is damaged, or no answers of that many images.
    """
    count, packed, images = facts.images.count, facts.packed, facts.images

    def output(classes: Column | None, reference: Answers, files: tuple[Answers, ...], named: str) -> Output:
        names = () if classes is None else unpack_text(classes, MOST_CLASSES, f"{where}: classes")
        base = decode(reference, count, f"{where}: float model{named}")
        answers = {}
        for one in files:
            answers[one.name] = decode(one, count, f"{where}: {one.name}{named}", base)
        for name, found in (("float model", base), *answers.items()):
            _check_classes(found, names, f"{where}: {name}{named}")
        return Output(names, base, answers)

    first = output(packed.classes, packed.reference, packed.files, "")
    heads = {}
    for head in packed.heads:
        found = output(head.classes, head.reference, head.files, f" output {head.name}")
        heads[head.name] = replace(found, by_index=head.by_index, by_name=head.by_name)
    sites = {name: unpack_text(c, MOST_SITES, f"{where}: {name}") for name, c in packed.in_float.items()}
    return Shipped(facts, sites, replace(first, by_index=images.by_index, by_name=images.by_name), heads)


def _check_classes(found: Decoded, classes: tuple[str, ...], where: str) -> None:
    if found.answer is not None and classes and int(found.answer.max(initial=0)) >= len(classes):
        raise InputError(f"{where}: an answer is no index of the {len(classes)} classes", AGAIN)


def outputs_of(old: Shipped, new: Shipped) -> Iterator[tuple[str, Output, Output]]:
    """What both have: what is added to the name of a file for that output, "" for the first, and the two of it."""
    yield "", old.first, new.first
    for name, head in old.heads.items():
        if name in new.heads:
            yield f" output {name}", head, new.heads[name]


def in_words_of(old: Shipped, new: Shipped) -> Shipped:
    """The old answers as indices of the new classes; each name that is gone becomes a negative number of its own."""
    heads = {
        name: _in_words_of(head, new.heads[name]) if name in new.heads else head
        for name, head in old.heads.items()
    }
    return replace(old, first=_in_words_of(old.first, new.first), heads=heads)


def _in_words_of(old: Output, new: Output) -> Output:
    import numpy as np

    # The same labels under other names: then the classes kept their indices, whatever they are called.
    renamed = bool(old.by_index) and old.by_index == new.by_index and old.by_name != new.by_name
    if old.classes == new.classes or not old.classes or not new.classes or renamed:
        return old
    moved = np.array(places(old.classes, new.classes), np.int64)

    def mapped(found: Decoded) -> Decoded:
        return found if found.answer is None else replace(found, answer=moved[found.answer])

    return replace(
        old,
        reference=mapped(old.reference),
        answers={name: mapped(found) for name, found in old.answers.items()},
    )


def places(old: Sequence[str], new: Sequence[str]) -> list[int]:
    """Where each old class is among the new ones, by its name; no two are at one place.

    Names that stand twice (ImageNet has two cranes) are taken in their order. Where a name that is gone had the index
    of one that is new, the class was renamed. Any other that is gone is at -1, -2, ...
    """
    before, now = _numbered(old), _numbered(new)
    index = {name: place for place, name in enumerate(now)}
    gone = set(before) - set(now)
    come = set(now) - set(before)
    return [
        place if name in gone and place < len(now) and now[place] in come else index.get(name, -1 - place)
        for place, name in enumerate(before)
    ]


def _numbered(names: Sequence[str]) -> list[tuple[str, int]]:
    """Each name, and how many of the same stand before it."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        found.append((name, seen.get(name, 0)))
        seen[name] = seen.get(name, 0) + 1
    return found
