"""Import an optional package, or say which command installs it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Final

from edgevit.core.errors import MissingDependencyError


def require(module: str, extra: str = "") -> ModuleType:
    """Import `module`; `extra` is the edgevit extra that brings it ("" for a base dependency).

    Raises:
        MissingDependencyError: it is not installed; the hint is the install command.
    """
    try:
        with _without_others(module):
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        wanted = f"edgevit[{extra}]" if extra else "edgevit"
        raise MissingDependencyError(
            f"the Python package {error.name or module!r} is not installed", f"pip install '{wanted}'"
        ) from error


# What coremltools looks for only to know the version. TensorFlow beside PyTorch's Triton ends the process, since
# both bring an LLVM; the others take time, in two processes of each conversion.
_NOT_FOR_COREMLTOOLS: Final = ("tensorflow", "sklearn", "torchvision", "transformers", "xgboost")


@contextmanager
def _without_others(module: str) -> Iterator[None]:
    """Let coremltools not find, while it is imported, what it would import and has no use for here."""
    if module.partition(".")[0] != "coremltools":
        yield
        return
    hidden: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    names = [name for name in _NOT_FOR_COREMLTOOLS if name not in hidden]
    hidden.update(dict.fromkeys(names))
    try:
        yield
    finally:
        for name in names:
            del hidden[name]
