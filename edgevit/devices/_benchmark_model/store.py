"""Files on a device without our agent: named by their digest, checked by the device's own `sha256sum`.

Android has it since 8.0:
https://android.googlesource.com/platform/system/core/+/refs/heads/main/shell_and_utilities/README.md
"""

from __future__ import annotations

from pathlib import Path

from edgevit.core.disk.whole_files import sha256_of
from edgevit.core.errors import DeviceError, DeviceLostError
from edgevit.core.place import Place
from edgevit.devices._shell import quoted, run

_SECONDS = 300.0


def put_once(place: Place, local: Path, name: str) -> str:
    """Copy a file there unless it is there already, whole; its path on the device.

    Raises:
        DeviceError: no space, no permission, no `sha256sum`.
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
    done = run(
        place, f"command -v sha256sum >/dev/null || exit 9\nsha256sum {quoted([path])} 2>/dev/null", _SECONDS
    )
    if done.code == 9:
        raise DeviceError(f"{place.where} has no sha256sum", "use a phone with Android 8 or newer")
    return done.stdout.strip().partition(" ")[0]
