"""Import an optional package, or say which command installs it."""

from __future__ import annotations

import importlib
from types import ModuleType

from edgevit.core.errors import MissingDependencyError


def require(module: str, extra: str = "") -> ModuleType:
    """Import `module`; `extra` is the edgevit extra that brings it ("" for a base dependency).

    Raises:
        MissingDependencyError: it is not installed; the hint is the install command.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        wanted = f"edgevit[{extra}]" if extra else "edgevit"
        raise MissingDependencyError(
            f"the Python package {error.name or module!r} is not installed", f"pip install '{wanted}'"
        ) from error
