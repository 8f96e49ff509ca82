"""The user's own Python, imported as `python FILE` or `python -m MODULE` would; what fails in it is told as theirs."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from edgevit.core.disk.regular import regular_file
from edgevit.core.errors import EdgevitError, StepError, UsageError, nearest
from edgevit.program import diagnostics

T = TypeVar("T")


@contextmanager
def as_script(place: str) -> Iterator[None]:
    """Search path and `sys.argv` as `python FILE` has them without arguments: a script reads its defaults.

    Args:
        place: a module's name or a .py file.
    """
    folder = str(Path(place).resolve().parent) if place.endswith(".py") else str(Path.cwd())
    before = sys.argv
    sys.path.insert(0, folder)
    sys.argv = [place]
    try:
        yield
    finally:
        sys.argv = before
        with suppress(ValueError):  # the code may have changed the path itself
            sys.path.remove(folder)


def import_place(place: str) -> ModuleType:
    """The module of that name, or the one that a .py file makes.

    Raises:
        InputError: the file is missing, or no file.
        UsageError: it, or what it imports, cannot be found.
        StepError: its code raised an exception or ended the program.
    """
    try:
        return guarded(f"importing {place}", lambda: _import(place))
    except StepError as error:
        if isinstance(error.__cause__, ImportError):
            raise _not_found(place, error.__cause__) from error.__cause__
        raise


def guarded(what: str, call: Callable[[], T]) -> T:
    """Call the user's code; whatever it raises becomes a StepError that names `what` and the line.

    Raises:
        StepError: an exception, or SystemExit, with what argparse said.
    """
    try:
        return call()
    except EdgevitError:
        raise
    except SystemExit as error:
        raise StepError(
            f"{what} ended the program{_line(error)} (SystemExit: {error.code}){_of_argparse(error)}",
            "edgevit runs it without arguments: give each argument a default, or put that part of the script "
            "behind `if __name__ == '__main__':`",
        ) from error
    except Exception as error:  # foreign code may raise anything
        said = " ".join(str(error).split())[:300]
        raise StepError(
            f"{what} failed{_line(error)}: {type(error).__name__}: {said}",
            "mend it there; edgevit calls it without arguments but for --model-arg and --num-classes",
        ) from error


def look_up(module: ModuleType, place: str, name: str) -> Any:
    """What `name` is in a module; `Net.tiny` is an attribute of an attribute.

    Raises:
        UsageError: there is nothing of that name.
    """
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            known = [key for key in dir(found) if not key.startswith("_") and callable(getattr(found, key))]
            raise UsageError(f"{place} has no {name!r}", nearest(part, known))
        found = getattr(found, part)
    return found


def _import(place: str) -> ModuleType:
    if not place.endswith(".py"):
        return importlib.import_module(place)
    path = regular_file(Path(place), "the file", "python: takes a module's name or a .py file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None, place
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _not_found(place: str, error: ImportError) -> UsageError:
    message = f"{place} cannot be imported{_line(error)}: {error}"
    if "relative import" in str(error):
        name = Path(place).stem
        return UsageError(
            message, f"name it in its package, from the folder above: python:PACKAGE.{name}:FACTORY"
        )
    if error.name is None or error.name == place or place.startswith(f"{error.name}."):
        return UsageError(
            message, "run in the folder that holds it, or give the file: python:FILE.py:FACTORY"
        )
    return UsageError(message, f"install {error.name} where edgevit runs, or run in the folder that holds it")


def _line(error: BaseException) -> str:
    line = diagnostics.innermost(diagnostics.frames("".join(traceback.format_exception(error))))
    return f" at {line}" if line else ""


def _of_argparse(error: SystemExit) -> str:
    """What a parser was not content with; it prints that, and leaves only a number in the exception."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        known = frame.f_locals
        if frame.f_code.co_name == "error" and isinstance(known.get("self"), argparse.ArgumentParser):
            return f": argparse: {known.get('message', '')}"
    return ""
