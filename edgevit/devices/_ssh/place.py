"""A device over SSH as a `Place`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from edgevit.core.errors import DeviceError
from edgevit.core.place import Place
from edgevit.devices._ssh import copying
from edgevit.devices._ssh.address import parse
from edgevit.devices._ssh.connection import Connection, control_folder

# Below the home folder of the user who logs in.
_FOLDER = ".cache/edgevit-device"


@dataclass(frozen=True, slots=True)
class _OverSsh:
    where: str
    root: str
    connection: Connection
    python: str = ""

    def spawn(self, script: str) -> Popen[bytes]:
        return self.connection.start(script)

    def put(self, local: Path, remote: str) -> None:
        copying.put(self.connection, local, remote)

    def get(self, remote: str, local: Path) -> None:
        copying.get(self.connection, remote, local)

    def failure(self, code: int, stderr: str) -> DeviceError | None:
        return self.connection.failure(code, stderr)


@contextmanager
def open_place(where: str) -> Iterator[Place]:
    """A connection to `ssh://[USER@]HOST[:PORT]`, closed on the way out together with all that runs over it.

    Raises:
        UsageError: no such address.
        DeviceError: not to be reached, an unknown host key, no key that is accepted, no shell of Unix.
        MissingDependencyError: no OpenSSH client on this computer.
    """
    address = parse(where)
    with control_folder() as folder:
        connection = Connection(address, folder)
        try:
            yield _OverSsh(where, f"{connection.open().rstrip('/')}/{_FOLDER}", connection)
        finally:
            connection.close()
