"""A Recipe as a TOML file, which `--recipe` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from edgevit.core.disk.whole_files import write_atomic
from edgevit.core.errors import UsageError
from edgevit.core.settings.recipe import Recipe, all_settings, default_of
from edgevit.core.settings.setting import flag_of
from edgevit.core.settings.texts import joined


def to_toml(recipe: Recipe) -> str:
    """The settings that differ from the defaults, as a recipe file."""
    lines = []
    for name in all_settings():
        value, default = getattr(recipe, name), default_of(name)
        if (value == default and name != "model") or name == "dry_run":
            continue  # a recipe says what is wanted, not that it was only asked about
        lines.append(f"{flag_of(name)} = {_toml(name, value)}\n")
    return "".join(lines)


def save(recipe: Recipe, path: Path) -> None:
    """Write `recipe` so that `--recipe` reads the same one back.

    Raises:
        UsageError: a path or a text in it is no valid Unicode, which TOML cannot hold.
        StorageError: the disk is full or the place is read-only.
    """
    text = to_toml(recipe)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        line = next(line for line in text.splitlines() if text[error.start] in line)
        raise UsageError(
            f"--save-recipe {path}: TOML cannot hold {line!r}, which is no valid Unicode",
            "rename the file or folder, or leave --save-recipe out",
        ) from error
    write_atomic(path, text)


def _toml(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_string(k)} = {_string(str(v))}" for k, v in value.items()) + " }"
    if isinstance(value, tuple):
        entries = value if name == "image_size" else tuple(map(joined, value))
        return "[" + ", ".join(str(e) if isinstance(e, int) else _string(e) for e in entries) + "]"
    return _string(str(value))


def _string(text: str) -> str:
    # A JSON string is a TOML basic string, once DEL, which only TOML forbids, is escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
