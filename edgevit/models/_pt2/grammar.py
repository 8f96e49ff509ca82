"""Rules for JSON from an untrusted file: a value comes out as it was checked, or is refused with its place.

A rule is a function from a decoded JSON value to the value that may be handed on. Rules are put
together from smaller ones, and what no rule names is refused: an unknown key, another type, another text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

Rule = Callable[[object], object]
_SHOWN = 60
_T = TypeVar("_T")


class Refused(Exception):
    """What is wrong, and where: `place` grows from the inside out while it is raised."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.place = ""

    def at(self, part: str) -> Refused:
        """The same, one level further out."""
        self.place = part + self.place
        return self

    def __str__(self) -> str:
        return f"{self.place.removeprefix('.')}: {self.reason}" if self.place else self.reason


def show(value: object) -> str:
    """A value of the file as it may stand in a message: escaped and short."""
    text = ascii(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def text(pattern: str, what: str) -> Rule:
    """A string that matches `pattern` whole; `what` is what a message calls it."""
    compiled = re.compile(pattern)

    def rule(value: object) -> object:
        if not isinstance(value, str) or compiled.fullmatch(value) is None:
            raise Refused(f"{show(value)} is no {what}")
        return value

    return rule


def boolean(value: object) -> object:
    """True or false."""
    if not isinstance(value, bool):
        raise Refused(f"{show(value)} is no truth value")
    return value


def integer(low: int = -(2**63), high: int = 2**63 - 1) -> Rule:
    """A whole number within the limits, those of int64 by default."""

    def rule(value: object) -> object:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise Refused(f"{show(value)} is no whole number from {low} to {high}")
        return value

    return rule


def number(value: object) -> object:
    """A number; infinities and NaN are texts, as PyTorch writes them."""
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not plain and value not in ("Infinity", "-Infinity", "NaN"):
        raise Refused(f"{show(value)} is no number")
    return value


def nothing(value: object) -> object:
    """Null."""
    if value is not None:
        raise Refused(f"{show(value)} is not null")
    return value


def never(reason: str) -> Rule:
    """Whatever stands here is refused."""

    def rule(_value: object) -> object:
        raise Refused(reason)

    return rule


def dropped(_value: object) -> object:
    """Anything, of which nothing is handed on."""
    return None


def optional(rule: Rule) -> Rule:
    """Null, or what `rule` takes."""
    return lambda value: None if value is None else rule(value)


def list_of(rule: Rule) -> Rule:
    """A list of what `rule` takes."""

    def checked(value: object) -> object:
        if not isinstance(value, list):
            raise Refused(f"{show(value)} is no list")
        return [_within(f"[{i}]", rule, item) for i, item in enumerate(value)]

    return checked


def mapping(key: Rule, rule: Rule) -> Rule:
    """An object with any keys that `key` takes."""

    def checked(value: object) -> object:
        if not isinstance(value, dict):
            raise Refused(f"{show(value)} is no object")
        return {key(name): _within(f".{name}", rule, item) for name, item in value.items()}

    return checked


def record(optional_keys: str = "", /, **rules: Rule) -> Rule:
    """An object with these keys and no other; those of `optional_keys` (in words) may be missing."""
    required = rules.keys() - set(optional_keys.split())

    def checked(value: object) -> object:
        if not isinstance(value, dict):
            raise Refused(f"{show(value)} is no object")
        for name in value:
            if name not in rules:
                raise Refused(f"has a field {show(name)} that is not known here")
        for name in sorted(required - value.keys()):
            raise Refused(f"has no field {name!r}")
        return {name: _within(f".{name}", rules[name], item) for name, item in value.items()}

    return checked


def union(**rules: Rule) -> Rule:
    """An object with exactly one of these keys."""

    def checked(value: object) -> object:
        if not isinstance(value, dict) or len(value) != 1:
            raise Refused(f"{show(value)} is no object with one field")
        ((name, item),) = value.items()
        if name not in rules:
            raise Refused(f"{show(name)} is not known here")
        return {name: _within(f".{name}", rules[name], item)}

    return checked


def later(rule: Callable[[], Rule]) -> Rule:
    """A rule that is defined further below, for values that hold their own kind."""
    return lambda value: rule()(value)


def _within(place: str, rule: Callable[[object], _T], value: object) -> _T:
    try:
        return rule(value)
    except Refused as refused:
        raise refused.at(place) from None
