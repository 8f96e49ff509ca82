"""The forms in which class names are written down; a form that can be read in two ways is refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from edgevit.core.errors import InputError

# A class name and the number beside it; which of the two is the number is found out.
Pair: TypeAlias = tuple[object, object]

SYNSET: Final = re.compile(r"n\d{8}")
_NUMBER: Final = re.compile(r"\s*\d{1,9}\s*", re.ASCII)
_NUMBER_FIRST: Final = re.compile(r"(\d{1,9})(?:\s*[:.,;=)|-]\s*|\s+)(\S.*)", re.ASCII)
_NUMBER_LAST: Final = re.compile(r"(.*?\S)(?:\s*[:,;=|]\s*|\s+)(\d{1,9})", re.ASCII)
# Where files of other tools keep the names, in the order in which they are looked for.
_KEYS: Final = (
    *("id2label", "label2id", "class_to_idx", "idx_to_class", "class_indices"),
    *("names", "class_names", "label_names", "classes", "labels", "categories"),
)
NAME_WORDS: Final = (
    *("name", "class_name", "classname", "label_name", "display_name", "category", "label", "class"),
    *("names", "labels", "classes", "description"),
)
NUMBER_WORDS: Final = (
    *("id", "index", "idx", "class_id", "class_index", "class_idx", "label_id", "target", "label", "class"),
)


@dataclass(frozen=True, slots=True)
class Order:
    """The place of each class, from 0, and the lowest number that was written, 0 or 1."""

    places: tuple[int, ...]
    first: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Named:
    """Class names in index order, and the number that was written beside the first, 0 without numbers."""

    names: tuple[str, ...]
    first: int = field(default=0, compare=False)


def from_data(found: object, where: str) -> Named:
    """From JSON or YAML: number to name, name to number, a list of names or of records, or one of these in an object.

    A name may be a list that begins with a WordNet synset, as Keras has it: ["n01440764", "tench"].

    Raises:
        InputError: none of these, or numbers that are not those of the classes.
    """
    if isinstance(found, dict):
        inner = next((found[key] for key in _KEYS if isinstance(found.get(key), dict | list)), None)
        return _ordered(list(found.items()), where) if inner is None else from_data(inner, where)
    if not isinstance(found, list):
        raise InputError(
            f"{where} holds {_kind(found)}, no class names", "give a list of names, or id to name"
        )
    if found and all(isinstance(entry, dict) for entry in found):
        return _from_records(found, where)
    pairs = [(entry[0], entry[1]) for entry in found if isinstance(entry, list) and len(entry) == 2]
    numbered = any(all(map(is_number, side)) for side in zip(*pairs, strict=True))
    if numbered and len(pairs) == len(found):
        return _ordered(pairs, where)
    return Named(tuple(name_of(entry, where) for entry in found))


def from_lines(text: str, where: str) -> Named:
    """One name a line; where every line has a number before or after the name, in the order of the numbers.

    Raises:
        InputError: an empty line between names, lines of two numbers that can be read both ways, or numbers with a gap.
    """
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    filled = [line for line in lines if line]
    readings = [_numbered(filled, pattern, where) for pattern in (_NUMBER_FIRST, _NUMBER_LAST)]
    numbered = [found for found in readings if found is not None]
    if len(numbered) == 2 and numbered[0] != numbered[1]:
        raise ambiguous(where)
    if numbered:
        return numbered[0]
    if "" in lines:
        raise InputError(
            f"{where}: line {lines.index('') + 1} is empty, so the classes would shift",
            "take that line out, or write the name of its class there",
        )
    return Named(tuple(lines))


def _numbered(lines: Sequence[str], pattern: re.Pattern[str], where: str) -> Named | None:
    """The names in the order of their numbers; None without, and where the names differ by them: 1 euro, 2 euro."""
    found = [pattern.fullmatch(line) for line in lines]
    pairs = [match.groups() for match in found if match]
    if not pairs or len(pairs) < len(lines):
        return None
    number = 0 if pattern is _NUMBER_FIRST else 1
    numbers = [pair[number] for pair in pairs]
    order, names = places(numbers), [pair[1 - number] for pair in pairs]
    if 2 * len(set(names)) <= len(names):
        return None
    if order is not None:
        return placed(names, order)
    counted = sorted(map(_int, numbers))
    if (
        len(counted) > 2
        and counted[0] < 2
        and counted == sorted(set(counted))
        and counted[-1] < 2 * len(counted)
    ):
        raise _gap(numbers, where)  # the classes would shift, or keep their numbers in their names
    return None


def _ordered(pairs: Sequence[Pair], where: str) -> Named:
    """Names beside numbers, whichever of the two stands first."""
    firsts, seconds = [a for a, _ in pairs], [b for _, b in pairs]
    readings = [
        placed([name_of(name, where) for name in names], order)
        for numbers, names in ((firsts, seconds), (seconds, firsts))
        if (order := places(numbers)) is not None
    ]
    if len(readings) == 2 and readings[0] != readings[1]:
        raise ambiguous(where)
    if readings:
        return readings[0]
    numbers = firsts if all(map(is_number, firsts)) else seconds
    if pairs and all(map(is_number, numbers)):
        raise _gap(numbers, where)
    raise InputError(f"{where} has no numbers that say which class is which", "give a list, or id to name")


def _gap(numbers: Sequence[object], where: str) -> InputError:
    counted = list(map(_int, numbers))
    return InputError(
        f"{where}: its {len(counted)} numbers run from {min(counted)} to {max(counted)}, "
        f"not each once from 0 to {len(counted) - 1}",
        "number the classes as the model's outputs, from 0, and leave none out",
    )


def _from_records(records: Sequence[dict[str, object]], where: str) -> Named:
    """A list of objects with a name each, and perhaps a number, as COCO's categories."""
    name = next((word for word in NAME_WORDS if all(word in record for record in records)), None)
    number = next((word for word in NUMBER_WORDS if all(word in record for record in records)), None)
    if name is None:
        raise InputError(f"{where}: its entries have no `name`", "give a list of names, or id to name")
    if number is None:
        return Named(tuple(name_of(record[name], where) for record in records))
    return _ordered([(record[number], record[name]) for record in records], where)


def ambiguous(where: str) -> InputError:
    """Two orders of the classes fit, and nothing says which one is meant."""
    return InputError(
        f"{where} can be read in two ways: it has two numbers for each class",
        "write one class name a line, in index order",
    )


def places(numbers: Sequence[object]) -> Order | None:
    """Each number's place, if they are 0 to N - 1, or 1 to N, each once."""
    if not numbers or not all(map(is_number, numbers)):
        return None
    found = [_int(number) for number in numbers]
    first = min(found)
    if first > 1 or sorted(found) != list(range(first, first + len(found))):
        return None
    return Order(tuple(number - first for number in found), first)


def placed(names: Sequence[str], order: Order) -> Named:
    """The names, each at its place."""
    found = [""] * len(names)
    for name, place in zip(names, order.places, strict=True):
        found[place] = name
    return Named(tuple(found), order.first)


def is_number(value: object) -> bool:
    """Whether it counts something: a whole number from 0, or the digits of one."""
    if isinstance(value, str):
        return _NUMBER.fullmatch(value) is not None
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _int(value: object) -> int:
    assert isinstance(value, int | str)
    return int(value)


def _is_synset(value: object) -> bool:
    return isinstance(value, str) and SYNSET.fullmatch(value) is not None


def name_of(entry: object, where: str) -> str:
    """One class: a text, a number that is a name (digits), a list of synonyms, or an object with a name."""
    if isinstance(entry, dict):
        word = next((word for word in NAME_WORDS if isinstance(entry.get(word), str)), None)
        entry = entry[word] if word else entry
    if isinstance(entry, list) and entry and all(isinstance(part, str) for part in entry):
        parts = [part for part in entry if not _is_synset(part)] or entry
        return ", ".join(part.strip() for part in parts)
    if isinstance(entry, str) or (isinstance(entry, int) and not isinstance(entry, bool)):
        return str(entry).strip()
    raise InputError(
        f"{where} holds {_kind(entry)} where a class name should be", "give a list of names, or id to name"
    )


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "nothing"}
    return kinds.get(type(value), "a number")
