"""Which class a folder of images belongs to."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from edgevit.core.errors import InputError, nearest

_SYNSET = re.compile(r"n\d{8}")
_AMBIGUOUS = -1


def match_folders(folders: tuple[str, ...], labels: tuple[str, ...], where: str) -> dict[str, int]:
    """Match names of folders with labels by name, by one of a label's comma-separated synonyms, or by WordNet synset.

    Case, `_` against space, outer blanks, and how accents are encoded make no difference.

    Raises:
        InputError: a folder that is no label, or that could be two of them.
    """
    known = _known(labels)
    if any(_SYNSET.fullmatch(folder) for folder in folders):
        known |= _synsets(labels)
    found: dict[str, int] = {}
    for folder in folders:
        index = known.get(_plain(folder))
        if index is None:
            hint = nearest(folder, labels)
            raise InputError(
                f"{where}: the folder {folder!r} is none of the model's {len(labels)} labels",
                hint if len(labels) <= 20 else hint.partition(" Known:")[0] if hint.startswith("did") else "",
            )
        if index == _AMBIGUOUS:
            raise InputError(
                f"{where}: {folder!r} is the name of several classes", "name the folders by synset"
            )
        found[folder] = index
    return found


def _plain(name: str) -> str:
    """Composed (NFC): macOS, and what is copied from it, writes letters and their marks one by one (NFD)."""
    return unicodedata.normalize("NFC", " ".join(name.replace("_", " ").split()).casefold())


def _known(labels: tuple[str, ...]) -> dict[str, int]:
    """Every spelling to its class; a label's full name wins over another label's synonym."""
    whole = _unique([(_plain(label), index) for index, label in enumerate(labels)])
    parts = _unique([(_plain(part), i) for i, label in enumerate(labels) for part in _parts(label)])
    return {**parts, **whole}


def _parts(label: str) -> list[str]:
    head, _, tail = label.partition(" ")
    if _SYNSET.fullmatch(head):
        return [head, tail, *tail.split(",")]
    return label.split(",")


def _unique(pairs: list[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, index in pairs:
        found[name] = index if found.get(name, index) == index else _AMBIGUOUS
    return found


def _synsets(labels: tuple[str, ...]) -> Mapping[str, int]:
    """Synset to class, if the labels are those of ImageNet-1k in its usual order; else nothing."""
    if len(labels) != 1000:
        return {}
    from edgevit.core.require import require

    info = require("timm.data").ImageNetInfo("imagenet-1k")
    synonyms = [{_plain(p) for p in info.index_to_description(i).split(",")} for i in range(1000)]
    same = sum(any(_plain(part) in synonyms[i] for part in labels[i].split(",")) for i in range(1000))
    if same < 900:  # spellings differ between publishers; another order would agree nearly nowhere
        return {}
    return {info.index_to_label_name(i): i for i in range(1000)}
