"""Errors of the functions name their keywords where the command line's would name flags."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

_FLAG: Final = re.compile(
    r"(?<![\w-])--(?P<name>[a-z]+(?:-[a-z]+)*)"
    r"(?: (?P<key>[\w.]+)=(?P<value>[^\s;()`]*[^\s;()`,.:])| (?P<one>[A-Z][A-Zx]+\b|\d[\w.]*\b|[\w.-]*[/.][\w/.-]*\w))?"
)
# How `--name KEY=VALUE` is written as a keyword, where that is no dictionary.
_FORMS: Final = {"option": "option={{'{}': {{'{}': '{}'}}}}", "prune": "prune=[('{}', {})]"}


@contextmanager
def naming_keywords(keywords: Collection[str]) -> Iterator[None]:
    """Within, what an EdgevitError says names those of `keywords` as Python does.

    `--num-classes 37` becomes `num_classes=37`, `--preprocess crop_pct=0.9` becomes `preprocess={'crop_pct': '0.9'}`.
    A flag that is no keyword of the function stays as it is.
    """
    from edgevit.core.errors import EdgevitError

    try:
        yield
    except EdgevitError as error:
        error.message, error.hint = (with_keywords(text, keywords) for text in (error.message, error.hint))
        error.args = (error.message,)
        raise


def with_keywords(text: str, keywords: Collection[str]) -> str:
    """The text with the flags that are one of `keywords` written as such."""

    def keyword(found: re.Match[str]) -> str:
        name = found["name"].replace("-", "_")
        if name not in keywords:
            return found[0]
        if found["key"]:
            parts = (
                (*found["key"].split(".", 1), found["value"])
                if name == "option"
                else found.group("key", "value")
            )
            return _FORMS.get(name, name + "={{'{}': '{}'}}").format(*parts)
        if found["one"]:
            return f"{name}={found['one']}"
        quoted = text[: found.start()].endswith("`") or text[found.end() :].startswith("`")
        return name if quoted else f"`{name}`"

    return _FLAG.sub(keyword, text)
