"""Call an operation so that whatever it raises names the operation and the value it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from edgevit.core.errors import EdgevitError, UnsupportedError

_LONGEST: Final = 160


def call(operation: str, value: str, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """function(**arguments).

    Args:
        operation, value: the MIL operation, and the name of its (first) output in the program.

    Raises:
        EdgevitError: of the kind that the function raised; UnsupportedError for any other exception,
            with its message cut to one line. Lack of memory stays a MemoryError.
    """
    try:
        return function(**arguments)
    except (MemoryError, NameError):  # nobody's fault, and a misspelt name: ours
        raise
    except EdgevitError as error:
        raise type(error)(f"{_place(operation, value)}: {error.message}", error.hint) from error
    except Exception as error:  # PyTorch's kernels raise what they like
        if "can't allocate memory" in str(error):
            raise MemoryError from error
        raise UnsupportedError(
            f"{_place(operation, value)} cannot be executed: {type(error).__name__}: {_line(error)}",
            "on macOS Core ML itself can run the file",
        ) from error


def _place(operation: str, value: str) -> str:
    return f"Core ML operation {operation!r}, which makes the value {value!r}"


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    text = lines[0].strip() if lines else "no message"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
