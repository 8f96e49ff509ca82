"""Which class a folder of images, or a name beside an image, belongs to."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache

from edgevit.core.errors import InputError, nearest
from edgevit.formats.labels import SYNSET

_AMBIGUOUS = -1


def match_names(names: tuple[str, ...], labels: tuple[str, ...], where: str, what: str) -> dict[str, int]:
    """Match names with labels by name, by one of a label's comma-separated synonyms, or by WordNet synset.

    Case, `_` against space, outer blanks, and how accents are encoded make no difference.

    Args:
        what: the names are of, such as "folder".

    Raises:
        InputError: a name that is no label, or that could be two of them.
    """
    known = dict(_known(labels))
    if any(SYNSET.fullmatch(name) for name in names):
        known |= _synsets(names, labels, known)
    found: dict[str, int] = {}
    for name in names:
        index = known.get(_plain(name))
        if index is None:
            hint = nearest(name, labels)
            raise InputError(
                f"{where}: the {what} {name!r} is none of the model's {len(labels)} labels",
                hint if len(labels) <= 20 else hint.partition(" Known:")[0] if hint.startswith("did") else "",
            )
        if index == _AMBIGUOUS:
            raise InputError(
                f"{where}: {name!r} is the name of several of the model's classes",
                f"give each class its own name with --labels FILE, or name each {what} of ImageNet by its synset",
            )
        found[name] = index
    return found


def names_one(name: str, labels: tuple[str, ...]) -> bool:
    """Whether a name is a label, or a synonym of one."""
    return _plain(name) in _known(labels)


def index_folders(names: tuple[str, ...], labels: tuple[str, ...], where: str) -> dict[str, int] | None:
    """Class folders that are called by the indices of classes that have names; None where they are not numbers.

    Raises:
        InputError: numbers that are not the model's, or that text and numbers sort differently, as in `number_folders`.
    """
    if not all(map(_is_index, names)) or any(names_one(name, labels) for name in names):
        return None
    found = {name: int(name) for name in names}
    if max(found.values()) >= len(labels) or min(found.values()) > 0:
        raise InputError(
            f"{where}: its class folders are called {min(names, key=int)} to {max(names, key=int)}, but the model's "
            f"{len(labels)} classes are 0 to {len(labels) - 1}, {labels[0]} to {labels[-1]}",
            "call the folders by the names of the classes, or by their indices from 0",
        )
    if sorted(names) != sorted(names, key=int):
        raise InputError(
            _two_orders(sorted(names), where), "call the folders by the names of the classes, or 00, 01, 02"
        )
    return found


def number_folders(
    filled: tuple[str, ...], empty: tuple[str, ...], classes: int | None, where: str
) -> dict[str, int]:
    """Class folders of a model without labels, in the sorted order of their names.

    Args:
        filled, empty: folders with images and those without; the latter count as classes if the model has so many.
        classes: of the model; None if unknown.

    Raises:
        InputError: as many folders as the model has classes there are not, or their names have two orders.
    """
    names = sorted((*filled, *empty))
    if classes != len(names) and (classes == len(filled) or classes is None):
        names = sorted(filled)
    if classes not in (None, len(names)):
        without = f" and {len(empty)} without" if empty else ""
        folders = "class folder" if len(filled) == 1 else "class folders"
        raise InputError(
            f"{where} has {len(filled)} {folders} with images{without}, but the model has {classes} classes and no "
            "labels, so which folder is which class is unknown",
            "name the model's classes with --labels FILE, or leave out the folders that are no class of it",
        )
    if all(map(_is_index, names)) and names != sorted(names, key=int):
        raise InputError(
            _two_orders(names, where),
            "say which with --labels FILE: the names of the folders in the order of the model's outputs, one a line",
        )
    return {name: names.index(name) for name in filled}


def _is_index(name: str) -> bool:
    return name.isascii() and name.isdigit()


def _two_orders(names: list[str], where: str) -> str:
    return (
        f"{where}: its class folders are numbers, and training code sorts them as text ({', '.join(names[:5])}: "
        f"torchvision, Keras) or as numbers ({', '.join(sorted(names, key=int)[:5])}: timm)"
    )


def _plain(name: str) -> str:
    """Composed (NFC): macOS, and what is copied from it, writes letters and their marks one by one (NFD)."""
    folded = unicodedata.normalize("NFD", " ".join(name.replace("_", " ").split())).casefold()
    return unicodedata.normalize("NFC", folded)


@lru_cache(maxsize=4)  # asked for each of a thousand folders
def _known(labels: tuple[str, ...]) -> Mapping[str, int]:
    """Every spelling to its class; a label's full name wins over another label's synonym."""
    whole = _unique([(_plain(label), index) for index, label in enumerate(labels)])
    parts = _unique([(_plain(part), i) for i, label in enumerate(labels) for part in _parts(label)])
    return {**parts, **whole}


def _parts(label: str) -> list[str]:
    head, _, tail = label.partition(" ")
    if SYNSET.fullmatch(head):
        return [head, tail, *tail.split(",")]
    return label.split(",")


def _unique(pairs: list[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, index in pairs:
        found[name] = index if found.get(name, index) == index else _AMBIGUOUS
    return found


def _synsets(names: Sequence[str], labels: tuple[str, ...], known: Mapping[str, int]) -> dict[str, int]:
    """Synset to class: by the usual order of ImageNet-1k, else by the name that ImageNet has for it."""
    from edgevit.core.require import require

    info = require("timm.data").ImageNetInfo("imagenet-1k")
    order = [info.index_to_description(index) for index in range(1000)]
    if len(labels) == len(order):
        synonyms = [{_plain(part) for part in words.split(",")} for words in order]
        same = sum(any(_plain(p) in synonyms[i] for p in label.split(",")) for i, label in enumerate(labels))
        if same >= 900:  # spellings differ between publishers; another order would agree nearly nowhere
            return {info.index_to_label_name(i): i for i in range(1000)}
    described = {info.index_to_label_name(i): words for i, words in enumerate(order)}
    found = {}
    for name in names:
        classes = {known[p] for word in described.get(name, "").split(",") if (p := _plain(word)) in known}
        if len(classes) == 1 and name not in known:
            found[name] = classes.pop()
    return found
