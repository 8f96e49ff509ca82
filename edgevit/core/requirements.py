"""What edgevit needs installed, as its own packaging data says: there is no second list."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Requirement:
    """One package with its lowest version ("" if any); `extra` is "" for a base dependency."""

    package: str
    minimum: str
    extra: str


def requirements() -> tuple[Requirement, ...]:
    """From the checkout's pyproject.toml where there is one, else from the installed package."""
    project = Path(__file__).resolve().parents[2] / "pyproject.toml"
    table = tomllib.loads(project.read_text(encoding="utf-8"))["project"] if project.is_file() else {}
    if table.get("name") == "edgevit":
        texts = [(text, "") for text in table["dependencies"]]
        texts += [
            (text, extra) for extra, entries in table["optional-dependencies"].items() for text in entries
        ]
    else:
        texts = [_split(text) for text in metadata.requires("edgevit") or ()]
    return tuple(_read(text, extra) for text, extra in texts if not text.startswith("edgevit"))


def _split(text: str) -> tuple[str, str]:
    """`onnx>=1.21; extra == "onnx"` as (`onnx>=1.21`, `onnx`)."""
    requirement, _, marker = text.partition(";")
    extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", marker)
    return requirement.strip(), extra[1] if extra else ""


def _read(text: str, extra: str) -> Requirement:
    package = re.match(r"[A-Za-z0-9._-]+", text)
    minimum = re.search(r">=\s*([0-9][^,\s]*)", text)
    assert package is not None, text
    return Requirement(package[0], minimum[1] if minimum else "", extra)
