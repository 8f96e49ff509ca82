"""Every error that a user can meet, told apart by what the user can do about it.

`main()` prints `message` and `hint` and leaves with `exit_code`; anything that is not an
`EdgevitError` is a bug of ours and keeps its trace.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from edgevit.core.results.lint import Finding


class EdgevitError(Exception):
    """Base class. `message` says what was given and what is allowed, `hint` what to do next."""

    exit_code: ClassVar[int] = 3
    code: ClassVar[str] = "error"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(EdgevitError):
    """Wrong flags, an unknown name, an impossible combination: change the command."""

    exit_code = 2
    code = "usage"


class InputError(EdgevitError):
    """A file or folder that is missing, unreadable or malformed: change the input."""

    exit_code = 2
    code = "input"


class MissingDependencyError(EdgevitError):
    """A package is not installed: install it."""

    code = "missing-dependency"


class UnsupportedError(EdgevitError):
    """The request is clear, but this target, operator or machine cannot do it."""

    code = "unsupported"


class RefusedError(UnsupportedError):
    """An accelerator takes only a part of a file that was meant for it whole: the file fails.

    Attributes:
        findings: the operators that it refuses; empty where it refuses the whole and no part.
    """

    exit_code = 1
    code = "refused"

    def __init__(self, message: str, hint: str = "", findings: tuple[Finding, ...] = ()) -> None:
        super().__init__(message, hint)
        self.findings = findings


class StepError(EdgevitError):
    """A step in a worker failed on its own: a crash, a signal, a foreign exception."""

    code = "step-failed"


class UnreadableTensorsError(StepError):
    """A file is executed, but its inner tensors cannot be read: single sites of it stay unchecked."""

    code = "unreadable-tensors"


class StepTimeoutError(StepError):
    """A step took longer than its limit."""

    code = "timeout"


class StepMemoryError(StepError):
    """A step used more memory than its limit."""

    code = "out-of-memory"


class DeviceError(EdgevitError):
    """A device that cannot be reached, lacks something, or gives no answer that can be used."""

    code = "device"


class DeviceLostError(DeviceError):
    """The connection to a device broke: what was done there may be asked for again."""

    code = "device-lost"


class StorageError(EdgevitError):
    """The disk is full or the place is read-only: nothing was changed."""

    code = "storage"


def nearest(word: str, known: Iterable[str]) -> str:
    """Say which of the `known` names were meant by `word`: a hint for an unknown name."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=3, cutoff=0.5)
    listed = ", ".join(names)
    return f"did you mean {' or '.join(close)}? Known: {listed}" if close else f"known: {listed}"
