"""What the gate allows: defaults, `[tool.edgevit.gate]` of pyproject.toml or a file of its own, and flags."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, Literal

from edgevit.core.disk.documents import read_toml
from edgevit.core.errors import UsageError, nearest
from edgevit.core.results.gate import INTERFACE
from edgevit.core.settings.gate_limits import OFF, GateLimits

OnInconclusive = Literal["fail", "pass"]
_PATTERNS: Final = "files"
_ANSWERS: Final[tuple[OnInconclusive, ...]] = ("fail", "pass")


_DEFAULT: Final = GateLimits()
_LIMITS: Final = tuple(field.name for field in fields(GateLimits))
Settings = Mapping[str, float | None]  # some fields of GateLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules of one run.

    Attributes:
        limits: for every file.
        patterns: (pattern of file names such as `tflite/*`, what is other for these), later ones win.
        flags: what the command line said; wins over all patterns.
        accept: interface changes, and patterns of files that may be gone.
        on_inconclusive: what counts as the outcome where it could not be decided; None: exit code 4.
        origin: where this is from, for people.
    """

    limits: GateLimits = _DEFAULT
    patterns: tuple[tuple[str, Settings], ...] = ()
    flags: Settings
    accept: tuple[str, ...] = ()
    on_inconclusive: OnInconclusive | None = None
    origin: str = "defaults"

    def limits_for(self, file: str) -> GateLimits:
        """Of a file by its name, such as `tflite/w8a8`, or of the "float model"."""
        found = self.limits
        for pattern, settings in self.patterns:
            if fnmatchcase(file, pattern):
                found = replace(found, **settings)
        return replace(found, **self.flags)

    def accepts(self, word: str) -> bool:
        """Whether a change was accepted by name: a kind of interface change, or a file."""
        return any(fnmatchcase(word, pattern) for pattern in self.accept)


def make(
    flags: Mapping[str, object],
    accept: Sequence[str] = (),
    on_inconclusive: str | None = None,
    file: Path | None = None,
    folder: Path | None = None,
) -> Policy:
    """The policy of a command.

    Args:
        flags: fields of GateLimits, as text or numbers; None where a flag was not given.
        file: `--policy`; without it, the nearest pyproject.toml upwards from `folder` with a table for the gate.

    Raises:
        UsageError: an unknown key, or a value that is no limit.
        InputError: the file cannot be read.
    """
    place = file or _nearest(folder)
    table = {} if place is None else _table(place, required=file is not None)
    given = {
        name: _limit(f"--{name.replace('_', '-')}", value)
        for name, value in flags.items()
        if value is not None
    }
    for key in table:
        _known(key, (*_LIMITS, "accept", "on_inconclusive", _PATTERNS), f"{place}: ")
    files = table.get(_PATTERNS, {})
    if not isinstance(files, Mapping):
        raise UsageError(
            f"{place}: {_PATTERNS} is no table", f'write [tool.edgevit.gate.{_PATTERNS}."tflite/*"]'
        )
    default = table.get("on_inconclusive")
    given_words = accept if isinstance(accept, str) else list(accept)
    words = [*_words(table.get("accept", []), f"{place}: accept"), *_words(given_words, "--accept")]
    return Policy(
        limits=replace(GateLimits(), **_limits(table, str(place))),
        patterns=tuple((pattern, _of_pattern(pattern, own, str(place))) for pattern, own in files.items()),
        flags=given,
        accept=tuple(words),
        on_inconclusive=_answer(on_inconclusive if on_inconclusive is not None else default),
        origin=_origin(place if table else None, bool(given)),
    )


def _nearest(folder: Path | None) -> Path | None:
    """The pyproject.toml that a tool of Python would take."""
    start = folder or Path.cwd()
    return next(
        (p / "pyproject.toml" for p in (start, *start.parents) if (p / "pyproject.toml").is_file()), None
    )


def _table(place: Path, required: bool) -> Mapping[str, object]:
    """The gate's part of a TOML file: `tool.edgevit.gate`, or the whole file where there is no `tool`."""
    document: object = read_toml(place, "the policy")
    assert isinstance(document, Mapping)
    if "tool" not in document and place.name != "pyproject.toml":
        return document
    for key in ("tool", "edgevit", "gate"):
        document = document.get(key, {}) if isinstance(document, Mapping) else {}
    if not isinstance(document, Mapping):
        raise UsageError(f"{place}: tool.edgevit.gate is no table", "write [tool.edgevit.gate]")
    if required and not document:
        raise UsageError(f"{place} has no table [tool.edgevit.gate]", "add it, or leave --policy out")
    return document


def _of_pattern(pattern: str, own: object, place: str) -> Settings:
    where = f'{place}: {_PATTERNS}."{pattern}"'
    if not isinstance(own, Mapping):
        raise UsageError(f"{where} is no table", "write a table of limits")
    for key in own:
        _known(key, _LIMITS, f"{where}: ")
    return _limits(own, where)


def _limits(table: Mapping[str, object], where: str) -> dict[str, float | None]:
    return {name: _limit(f"{where}: {name}", table[name]) for name in _LIMITS if name in table}


def _limit(where: str, value: object) -> float | None:
    """A number that is not negative, or None for `off`."""
    if value == OFF:
        return None
    try:
        number = (
            float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
        )
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise UsageError(f"{where}: {value!r} is no limit", f"a number from 0 on, or {OFF}")
    if number > 100 and where.replace("-", "_").endswith("min_agreement"):
        raise UsageError(f"{where}: no file agrees on {value} % of the images", f"at most 100, or {OFF}")
    return number


def _words(value: object, where: str) -> list[str]:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise UsageError(f"{where}: {value!r} is no list of words", 'write ["labels"]')
    for word in words:
        if "/" not in word:
            _known(word, INTERFACE, f"{where}: ")
    return words


def _answer(value: object) -> OnInconclusive | None:
    if value is None:
        return None
    found = next((word for word in _ANSWERS if word == value), None)
    if found is None:
        raise UsageError(
            f"on_inconclusive: {value!r} is neither fail nor pass", "leave it out for exit code 4"
        )
    return found


def _known(word: object, known: Sequence[str], where: str) -> None:
    if word not in known:
        raise UsageError(f"{where}{word!r} is unknown", nearest(str(word), known))


def _origin(place: Path | None, flags: bool) -> str:
    named = "defaults" if place is None else str(place)
    return f"{named} and flags" if flags else named
