"""Where the files of the embedded demo are."""

from __future__ import annotations

from pathlib import Path

from edgevit.core.errors import InputError

_DEMO = Path(__file__).resolve().parent.parent / "assets" / "demo"


def demo_asset(name: str) -> Path:
    """Path of one file of the embedded demo model, for example `model.safetensors`.

    Raises:
        InputError: the installation does not hold it.
    """
    path = _DEMO / name
    if not path.is_file():
        raise InputError(f"this installation of edgevit lacks the demo's {name}", "install edgevit again")
    return path
