"""Frozen dataclasses to and from what JSON can hold, led by their type annotations."""

from __future__ import annotations

import dataclasses
import math
import numbers
import types
from collections.abc import Mapping
from enum import Enum
from functools import cache
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from edgevit.core.errors import InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# `metadata` of a field that is known in memory alone.
NOT_WRITTEN: Final[Mapping[str, bool]] = {"written": False}

T = TypeVar("T", bound="DataclassInstance")


def to_plain(value: DataclassInstance) -> dict[str, object]:
    """A dataclass as nested dicts and lists.

    Raises:
        ValueError: a number is not finite; the message names the field.
    """
    return cast("dict[str, object]", _plain(value, type(value).__name__))


def _plain(value: object, where: str) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name), f"{where}.{f.name}") for f in written(type(value))}
    if isinstance(value, Mapping):
        return {str(k): _plain(v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v, f"{where}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):  # numpy's scalars are registered as such
        number = float(value)
        if not math.isfinite(number):
            raise ValueError(f"{where} is {number}: JSON holds finite numbers only")
        return number
    raise TypeError(f"{where} is a {type(value).__name__}: expected plain data")


def written(kind: type[DataclassInstance]) -> tuple[dataclasses.Field[Any], ...]:
    """The fields that a file holds."""
    return tuple(f for f in dataclasses.fields(kind) if f.metadata != NOT_WRITTEN)


def from_plain(kind: type[T], data: object, where: str) -> T:
    """Read a dataclass back; unknown keys are left aside, since adding a field is free.

    Raises:
        InputError: a key is missing or a value has the wrong type; the message names it.
    """
    return cast("T", _read(kind, data, where))


def _read(kind: Any, data: object, where: str) -> object:
    origin = get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(cast("type[DataclassInstance]", kind), data, where)
    if origin in (Union, types.UnionType):
        if data is None and type(None) in get_args(kind):
            return None
        return _read_one_of([k for k in get_args(kind) if k is not type(None)], data, where)
    if origin is Literal:
        if data not in get_args(kind):
            raise _wrong(where, " or ".join(map(repr, get_args(kind))), data)
        return data
    if isinstance(kind, type) and issubclass(kind, Enum):
        words = {member.value: member for member in kind}
        if not isinstance(data, str) or data not in words:
            raise _wrong(where, " or ".join(map(repr, words)), data)
        return words[data]
    if origin is tuple:
        return _read_tuple(get_args(kind), data, where)
    if origin is Mapping:
        if not isinstance(data, dict):
            raise _wrong(where, "an object", data)
        key, inner = get_args(kind)
        return {_read(key, str(k), where): _read(inner, v, f"{where}.{k}") for k, v in data.items()}
    if kind is Path and isinstance(data, str):
        return Path(data)
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, kind) or (kind is not bool and isinstance(data, bool)):
        raise _wrong(where, kind.__name__, data)
    return data


def _read_dataclass(kind: type[DataclassInstance], data: object, where: str) -> object:
    if not isinstance(data, dict):
        raise _wrong(where, "an object", data)
    hints = _hints(kind)
    values: dict[str, object] = {}
    for f in written(kind):
        if f.name in data:
            values[f.name] = _read(hints[f.name], data[f.name], f"{where}: {f.name}")
        elif f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise InputError(f"{where}: {f.name} is missing", "is it a file that edgevit wrote?")
    return kind(**values)


@cache
def _hints(kind: type[DataclassInstance]) -> Mapping[str, Any]:
    """Its annotations as types, which Python makes anew from their text each time it is asked."""
    return get_type_hints(kind)


def _read_one_of(kinds: list[Any], data: object, where: str) -> object:
    """By the first kind that can be read from it: those of a union differ in what JSON has for them."""
    *others, last = kinds
    for kind in others:
        try:
            return _read(kind, data, where)
        except InputError:
            continue
    return _read(last, data, where)


def _read_tuple(kinds: tuple[Any, ...], data: object, where: str) -> object:
    if not isinstance(data, (list, tuple)):
        raise _wrong(where, "a list", data)
    if kinds[-1] is not Ellipsis and len(kinds) != len(data):
        raise _wrong(where, f"a list of {len(kinds)}", data)
    each = [kinds[0]] * len(data) if kinds[-1] is Ellipsis else kinds
    return tuple(_read(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(each, data, strict=True)))


def _wrong(where: str, expected: str, data: object) -> InputError:
    shown = repr(data)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return InputError(f"{where}: expected {expected}, got {shown}", "is it a file that edgevit wrote?")
