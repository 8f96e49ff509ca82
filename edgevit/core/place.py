"""Where files are executed: this computer, a board, a phone. What a transport must be able to do, and no more.

Everything else is written once above it, in `edgevit/devices/`: which files are there already, the agent that measures
and executes, what its answers mean.
"""

from __future__ import annotations

from pathlib import Path
from subprocess import Popen
from typing import Protocol

from edgevit.core.errors import DeviceError


class Place(Protocol):
    """An open connection to a device."""

    @property
    def where(self) -> str:
        """As the user typed it, for example `ssh://pi@board`."""
        ...

    @property
    def root(self) -> str:
        """Absolute POSIX path of our folder there: all that is made on the device lies in it. It need not exist."""
        ...

    @property
    def python(self) -> str:
        """The Python to use there; "" to look for one."""
        ...

    def spawn(self, script: str) -> Popen[bytes]:
        """Start a script of the POSIX shell there; the returned local process carries its three streams, unbuffered.

        Its exit code is not to be trusted: `adb shell` returns 0 when the phone goes away. Closing its standard input
        reaches the script as the end of its input. The script may be of any length up to 32 KiB, and its words are the
        caller's to quote.
        """
        ...

    def put(self, local: Path, remote: str) -> None:
        """Copy a file there, below `root`, making its folder; at no time does `remote` hold half of it.

        Raises:
            DeviceError: no space, no permission.
            DeviceLostError: the connection broke.
        """
        ...

    def get(self, remote: str, local: Path) -> None:
        """Copy a file from there. Raises as `put` does, and DeviceError where it is missing."""
        ...

    def failure(self, code: int, stderr: str) -> DeviceError | None:
        """What the transport itself had to say where a spawned process ended badly; None where it was the script.

        Args:
            code: exit status of the local process.
            stderr: the last of what it wrote to standard error.
        """
        ...
