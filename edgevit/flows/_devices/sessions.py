"""Devices by the names that users give them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from edgevit.core.errors import UsageError, nearest
from edgevit.core.plugins import Transport
from edgevit.core.progress import Progress
from edgevit.devices.session import Session, connect
from edgevit.registries import TRANSPORTS


def transport_of(where: str) -> Transport:
    """The plug-in that reaches a device.

    Raises:
        UsageError: none does.
    """
    word = where.partition(":")[0]
    if word not in TRANSPORTS.names():
        raise UsageError(f"unknown device {where!r}", nearest(word, TRANSPORTS.names()))
    return TRANSPORTS.get(word)


@contextmanager
def session_on(where: str, keep: bool = False) -> Iterator[Session]:
    """An agent on a device; raises as `connect` and the transport's `open` do."""
    with transport_of(where).open(where) as place, connect(place, keep) as session:
        yield session


def check_devices(devices: Sequence[str], progress: Progress) -> None:
    """Reach every device once, before the work that it is needed for.

    Raises:
        UsageError: an unknown one, or the same twice.
        DeviceError: one that cannot be used.
    """
    for where in devices:
        transport_of(where)
        if devices.count(where) > 1:
            raise UsageError(f"--device {where} was given twice", "name each device once")
    for where in devices:
        progress.stage(f"looking for {where}")
        with session_on(where):
            pass
