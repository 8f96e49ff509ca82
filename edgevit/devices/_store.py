"""Files on a device, each put there once: by their digest, whole, and some of them beside other work."""

from __future__ import annotations

import contextlib
import hashlib
import queue
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edgevit.core.disk.artifact import weights_beside
from edgevit.core.disk.whole_files import sha256_of
from edgevit.core.errors import DeviceLostError, EdgevitError
from edgevit.devices._channel import Channel

# For a copy that is under way at the end; behind it, it finds its folder removed and fails.
_LAST_COPY_SECONDS: Final = 2.0


class Store:
    """Our files on a device, below `files` of the place's folder."""

    def __init__(self, channel: Channel) -> None:
        """Nothing is sent yet."""
        self._channel, self._place = channel, channel.place
        self._closing = threading.Event()
        self._outgoing: queue.Queue[tuple[Path, str]] = queue.Queue()
        self._digests: dict[str, str] = {}  # of what is on its way, by its path there
        self._sender: threading.Thread | None = None

    def put(self, artifact: Path) -> str:
        """Copy a file or folder there unless it is there already, whole; its path on the device.

        Raises:
            DeviceError: no space.
            DeviceLostError: the connection broke, or it arrived damaged.
        """
        return self._put(_files_of(artifact))

    def put_array(self, content: Path) -> str:
        """The same for an array of images; its path on the device."""
        return self._put({"pixels.npy": content})

    def send_array(self, content: Path) -> str:
        """Its path on the device, and a copy that goes on beside other work: `execute` waits for what it needs.

        `content` must stay as it is until then. What goes wrong with the copy is raised by the call that is waiting.

        Raises:
            DeviceError, DeviceLostError: as `call`.
        """
        digest = sha256_of(content)
        path = f"{self._place.root}/files/{digest}/pixels.npy"
        if path in self._digests or self._have({path: digest}):
            return path
        self._digests[path] = digest
        self._outgoing.put((content, path))
        if self._sender is None:
            self._sender = threading.Thread(target=self._send_arrays, daemon=True)
            self._sender.start()
        return path

    def digest_of(self, path: str) -> str:
        """What a file that is on its way must be once it has arrived; "" for one that was put there before."""
        return self._digests.get(path, "")

    def close(self) -> None:
        """Send nothing more."""
        self._closing.set()
        if self._sender is not None:
            self._sender.join(_LAST_COPY_SECONDS)

    def _put(self, files: Mapping[str, Path]) -> str:
        digests = {name: sha256_of(path) for name, path in files.items()}
        own = hashlib.sha256(repr(sorted(digests.items())).encode()).hexdigest()
        folder = f"{self._place.root}/files/{own}"
        wanted = {f"{folder}/{name}": digest for name, digest in digests.items()}
        there = self._have(wanted)
        missing = [path for path in wanted if path not in there]
        for path in missing:
            self._place.put(files[path.removeprefix(f"{folder}/")], path)
        if missing:
            arrived = self._have(wanted)
            broken = [path for path in missing if path not in arrived]
            if broken:
                raise DeviceLostError(
                    f"{broken[0]} on {self._place.where} is not what was sent",
                    "see whether the connection is sound and the disk there healthy",
                )
        first = next(iter(files))
        return f"{folder}/{first.split('/', maxsplit=1)[0]}"

    def _have(self, wanted: Mapping[str, str]) -> set[str]:
        found = self._channel.call("have", 600.0, files=dict(wanted)).get("have")
        return {str(path) for path in found} if isinstance(found, list) else set()

    def _send_arrays(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(queue.Empty):
                content, path = self._outgoing.get(timeout=0.2)
                try:
                    self._place.put(content, path)
                except EdgevitError as error:
                    self._channel.fail(error)
                    return


def _files_of(artifact: Path) -> dict[str, Path]:
    """Name on the device, below a folder of its own -> file. Only weights beside it need the name that they have."""
    if artifact.is_dir():
        name = f"model{artifact.suffix}"
        found = sorted(path for path in artifact.rglob("*") if path.is_file())
        return {f"{name}/{path.relative_to(artifact).as_posix()}": path for path in found}
    beside = weights_beside(artifact)
    if beside.is_file():
        return {artifact.name: artifact, beside.name: beside}
    return {f"model{artifact.suffix}": artifact}
