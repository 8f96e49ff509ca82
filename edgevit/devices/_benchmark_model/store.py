"""Files on a device without our agent: named by their digest, checked by the device's own `sha256sum`."""

from __future__ import annotations

from pathlib import Path

from edgevit.core.disk.whole_files import sha256_of
from edgevit.core.errors import DeviceLostError
from edgevit.core.place import Place
from edgevit.devices._shell import quoted, run

_SECONDS = 300.0


def put_once(place: Place, local: Path, name: str) -> str:
    """Copy a file there unless it is there already, whole; its path on the device.

    Raises:
        DeviceError: no space, no permission.
        DeviceLostError: the connection broke, or it arrived damaged.
    """
    digest = sha256_of(local)
    path = f"{place.root}/files/{digest}/{name}"
    if _digest(place, path) == digest:
        return path
    place.put(local, path)
    if _digest(place, path) != digest:
        raise DeviceLostError(
            f"{local.name} on {place.where} is not what was sent",
            "see whether the connection is sound and its storage healthy",
        )
    return path


def _digest(place: Place, path: str) -> str:
    return run(place, f"sha256sum {quoted([path])} 2>/dev/null", _SECONDS).stdout.strip().partition(" ")[0]
