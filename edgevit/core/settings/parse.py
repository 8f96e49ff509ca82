"""Texts of the command line and of recipe files, turned into values; every error names its flag."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from edgevit.core.errors import UsageError, nearest


def parse_list(flag: str, text: str) -> tuple[str, ...]:
    """`onnx,tflite` as ("onnx", "tflite").

    Raises:
        UsageError: an empty or a repeated entry.
    """
    entries = tuple(entry.strip() for entry in text.split(","))
    if not all(entries):
        raise UsageError(f"{flag} {text!r} has an empty entry", "separate the entries by single commas")
    if len(set(entries)) < len(entries):
        raise UsageError(f"{flag} {text!r} names one entry twice", "name each entry once")
    return entries


def parse_image_size(flag: str, text: str) -> tuple[int, int]:
    """`224` or `192x256` as (height, width) in pixels.

    Raises:
        UsageError: not of that form, or a side outside 1 to 8192.
    """
    found = re.fullmatch(r"(\d{1,6})(?:x(\d{1,6}))?", text.strip())
    height, width = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not (0 < height <= 8192 and 0 < width <= 8192):
        raise UsageError(
            f"{flag} {text!r} is not an image size", "give N or HxW in pixels, such as 224 or 192x256"
        )
    return height, width


def parse_pairs(flag: str, texts: Iterable[str], known: Iterable[str] | None = None) -> dict[str, str]:
    """`KEY=VALUE` texts as a dict, in order; `known` are the keys that exist.

    Raises:
        UsageError: no `=`, an empty or a repeated key, or a key that is not known.
    """
    names = None if known is None else frozenset(known)
    pairs: dict[str, str] = {}
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not key or not equals or not value:
            raise UsageError(f"{flag} {text!r} is not KEY=VALUE", f"write it as {flag} KEY=VALUE")
        if names is not None and key not in names:
            raise UsageError(f"{flag}: unknown key {key!r}", nearest(key, names))
        if key in pairs:
            raise UsageError(f"{flag} sets {key!r} twice", "set each key once")
        pairs[key] = value
    return pairs


def parse_amounts(flag: str, texts: Iterable[str]) -> tuple[tuple[str, float], ...]:
    """`METHOD=AMOUNT` texts, in order, as (method, fraction to remove).

    Raises:
        UsageError: not of that form, or an amount outside the open interval from 0 to 1.
    """
    found = []
    for text in texts:
        method, _, amount = (part.strip() for part in text.partition("="))
        try:
            fraction = float(amount)
        except ValueError:
            fraction = math.nan
        if not method or not 0.0 < fraction < 1.0:
            raise UsageError(
                f"{flag} {text!r} is not METHOD=AMOUNT",
                f"the amount is the fraction to remove, between 0 and 1: {flag} {method or 'mlp'}=0.25",
            )
        found.append((method, fraction))
    return tuple(found)


def parse_options(flag: str, texts: Iterable[str]) -> tuple[tuple[str, str, str], ...]:
    """`TARGET.KEY=VALUE` texts as (target, key, value).

    Raises:
        UsageError: not of that form, or one key set twice.
    """
    found = []
    for name, value in parse_pairs(flag, texts).items():
        target, dot, key = name.partition(".")
        if not target or not dot or not key:
            raise UsageError(
                f"{flag} {name}={value} names no target",
                f"write it as {flag} TARGET.KEY=VALUE, such as onnx.opset=20",
            )
        found.append((target, key, value))
    return tuple(found)
