"""Import an optional package, or say which command installs it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from edgevit.core.errors import MissingDependencyError


def require(module: str, extra: str = "") -> ModuleType:
    """Import `module`; `extra` is the edgevit extra that brings it ("" for a base dependency).

    Raises:
        MissingDependencyError: it is not installed; the hint is the install command.
    """
    try:
        with _without_tensorflow(module):
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        wanted = f"edgevit[{extra}]" if extra else "edgevit"
        raise MissingDependencyError(
            f"the Python package {error.name or module!r} is not installed", f"pip install '{wanted}'"
        ) from error


@contextmanager
def _without_tensorflow(module: str) -> Iterator[None]:
    """Let coremltools not find TensorFlow while it is imported.

    It would load TensorFlow wherever that is installed, only to look at its version; PyTorch's Triton
    then crashes with a segmentation fault, because both bring an LLVM.
    """
    if module.partition(".")[0] != "coremltools" or "tensorflow" in sys.modules:
        yield
        return
    hidden: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    hidden["tensorflow"] = None
    try:
        yield
    finally:
        del sys.modules["tensorflow"]
