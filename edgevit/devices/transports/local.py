"""This computer, by the same agent as everywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgevit.core.disk.space import storage_errors
from edgevit.core.errors import DeviceError, UsageError
from edgevit.core.plugins import Transport
from edgevit.core.process.scratch import scratch


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """See `edgevit.core.place.Place`; its folder is a temporary one."""

    root: str
    where: str = "local"
    python: str = sys.executable

    def spawn(self, script: str) -> subprocess.Popen[bytes]:
        """Run it with this computer's shell, in a group of its own that Ctrl-C in a terminal does not reach."""
        return subprocess.Popen(
            ["/bin/sh", "-c", script],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def put(self, local: Path, remote: str) -> None:
        """A second name of the same file where the disk allows it, else a copy."""
        there = Path(remote)
        with storage_errors(there, temporary=True):
            there.parent.mkdir(parents=True, exist_ok=True)
            aside = there.with_name(there.name + ".part")
            aside.unlink(missing_ok=True)
            try:
                os.link(local, aside)
            except OSError:
                shutil.copyfile(local, aside)
            aside.replace(there)

    def get(self, remote: str, local: Path) -> None:
        """Copy it."""
        try:
            shutil.copyfile(remote, local)
        except FileNotFoundError as error:
            raise DeviceError(f"{remote} is missing here", "run the command again") from error

    def failure(self, code: int, stderr: str) -> DeviceError | None:
        """There is no connection that could fail."""
        return None


@contextmanager
def open_place(where: str) -> Iterator[LocalPlace]:
    """This computer.

    Raises:
        UsageError: `local:` with anything behind it.
    """
    if where != "local":
        raise UsageError(f"unknown device {where!r}: local takes nothing more", "--device local")
    with scratch("edgevit-device-") as folder:
        yield LocalPlace(str(folder / "edgevit-device"))


TRANSPORT: Final = Transport(summary="This computer.", syntax="local", open=open_place)
