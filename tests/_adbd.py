"""The device side of adb's protocol over TCP: packets, streams, and the services `shell` and `sync`.

The real `adb` talks to it as it does to a phone on Wi-Fi (`adb connect`). Written after AOSP's descriptions:
https://android.googlesource.com/platform/packages/modules/adb/+/refs/heads/main/docs/dev/ (protocol.md, sync.md, and
shell_protocol.h). What a phone is made of, and how it fails, is `tests/_phone.py`.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

_VERSION: Final = 0x01000001  # from here on, checksums are not looked at
_PAYLOAD: Final = 256 * 1024
_CHUNK: Final = 64 * 1024
_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = range(5)  # packets of the shell protocol, version 2
_TOKEN, _SIGNATURE, _PUBLIC_KEY = 1, 2, 3  # kinds of AUTH


class Device(Protocol):
    """What the protocol asks of the phone behind it."""

    features: tuple[str, ...]
    authorized: bool
    answers: bool

    def path(self, name: str) -> Path:
        """Where a path of the device lies here."""
        ...

    def start(self, command: str, stderr: int) -> subprocess.Popen[bytes]:
        """Start a command of the device's shell."""
        ...

    def translate(self, *, back: bool) -> Callable[[bytes, bool], bytes]:
        """Paths in a stream: (data, whether it is the last) -> data with the other side's paths."""
        ...

    def received(self, count: int) -> None:
        """Count bytes of a push; raises OSError where the disk is full, EOFError where the phone goes away."""
        ...


class Stream:
    """One service that the host opened: bytes in order, one packet on its way at a time."""

    def __init__(self, connection: Connection, local: int, remote: int) -> None:
        self.connection, self.local, self.remote = connection, local, remote
        self._buffer, self._closed = bytearray(), False
        self._changed = threading.Condition()
        self._acknowledged = threading.Semaphore(0)
        self._writing = threading.Lock()

    def write(self, data: bytes) -> None:
        with self._writing:
            for start in range(0, len(data), self.connection.payload):
                part = data[start : start + self.connection.payload]
                self.connection.send(b"WRTE", self.local, self.remote, part)
                self._acknowledged.acquire()
                if self._closed:
                    raise EOFError

    def read(self, count: int) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: len(self._buffer) >= count or self._closed)
            if len(self._buffer) < count:
                raise EOFError
            data = bytes(self._buffer[:count])
            del self._buffer[:count]
            return data

    def read_some(self) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: self._buffer or self._closed)
            data = bytes(self._buffer)
            self._buffer.clear()
            return data

    def feed(self, data: bytes) -> None:
        with self._changed:
            self._buffer += data
            self._changed.notify_all()

    def acknowledge(self) -> None:
        self._acknowledged.release()

    def end(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._acknowledged.release(4)  # whoever writes


class Connection:
    """One connection of an adb server to the device."""

    def __init__(self, wire: socket.socket, device: Device) -> None:
        self._wire, self._device = wire, device
        self._sending = threading.Lock()
        self._streams: dict[int, Stream] = {}
        self.payload = 4096

    def send(self, command: bytes, first: int, second: int, data: bytes) -> None:
        number = int.from_bytes(command, "little")
        header = struct.pack(
            "<6I", number, first, second, len(data), sum(data) & 0xFFFFFFFF, number ^ 0xFFFFFFFF
        )
        with self._sending:
            self._wire.sendall(header + data)

    def serve(self) -> None:
        """Answer until the connection ends, whoever ends it."""
        with suppress(EOFError, OSError):
            while True:
                command, first, second, count = struct.unpack("<4s3I", self._take(24)[:16])
                self._answer(command, first, second, self._take(count))
        self.close()

    def close(self) -> None:
        with suppress(OSError):
            self._wire.shutdown(socket.SHUT_RDWR)
        self._wire.close()
        for stream in list(self._streams.values()):
            stream.end()

    def _take(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            part = self._wire.recv(count - len(data))
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    def _answer(self, command: bytes, first: int, second: int, data: bytes) -> None:
        if command == b"CNXN":
            self.payload = min(second, _PAYLOAD)
            if not self._device.answers:
                return
            if not self._device.authorized:
                self.send(b"AUTH", _TOKEN, 0, os.urandom(20))
                return
            names = "ro.product.name=double;ro.product.model=Double_1;ro.product.device=double"
            banner = f"device::{names};features={','.join(self._device.features)}"
            self.send(b"CNXN", _VERSION, _PAYLOAD, banner.encode())
        elif command == b"AUTH":
            if (
                first == _SIGNATURE
            ):  # an unknown key: asked again, the host sends its public key, the phone asks its user
                self.send(b"AUTH", _TOKEN, 0, os.urandom(20))
        elif command == b"OPEN":
            self._open(first, data.rstrip(b"\0"))
        elif stream := self._streams.get(second):
            if command == b"WRTE":
                stream.feed(data)
                self.send(b"OKAY", second, first, b"")
            elif command == b"OKAY":
                stream.acknowledge()
            elif command == b"CLSE":
                del self._streams[second]
                stream.end()

    def _open(self, remote: int, service: bytes) -> None:
        name, _, argument = service.partition(b":")
        kind, *modes = name.decode().split(",")
        if kind not in ("shell", "sync"):
            self.send(b"CLSE", 0, remote, b"")
            return
        local = max(self._streams, default=0) + 1
        stream = self._streams[local] = Stream(self, local, remote)
        self.send(b"OKAY", local, remote, b"")

        def serve() -> None:
            with suppress(EOFError, OSError):
                if kind == "sync":
                    _sync(stream, self._device)
                else:
                    _shell(stream, self._device, argument.decode(), separate="v2" in modes)
                self.send(b"CLSE", local, remote, b"")

        threading.Thread(target=serve, daemon=True).start()


def _shell(stream: Stream, device: Device, command: str, *, separate: bool) -> None:
    process = device.start(command, subprocess.PIPE if separate else subprocess.STDOUT)
    assert process.stdin is not None and process.stdout is not None
    stdin = process.stdin

    def forward() -> None:
        translate = device.translate(back=False)
        with suppress(EOFError, OSError):
            while True:
                if not separate:  # the old protocol has no end of input
                    stdin.write(translate(stream.read_some() or stream.read(1), False))
                    continue
                kind, count = struct.unpack("<BI", stream.read(5))
                data = stream.read(count)
                if kind == _CLOSE_STDIN:
                    stdin.write(translate(b"", True))
                    break
                if kind == _STDIN:
                    stdin.write(translate(data, False))
        with suppress(OSError):
            stdin.close()

    def pump(source: int, kind: int) -> None:
        translate = device.translate(back=True)
        with suppress(EOFError, OSError):
            last = False
            while not last:
                data = os.read(source, _CHUNK)
                last = not data
                if data := translate(data, last):
                    stream.write(struct.pack("<BI", kind, len(data)) + data if separate else data)

    threading.Thread(target=forward, daemon=True).start()
    pumps = [threading.Thread(target=pump, args=(process.stdout.fileno(), _STDOUT))]
    if process.stderr is not None:
        pumps.append(threading.Thread(target=pump, args=(process.stderr.fileno(), _STDERR)))
    for thread in pumps:
        thread.start()
    for thread in pumps:
        thread.join()
    process.stdout.close()  # adbd's ends are closed: whoever still writes gets SIGPIPE
    if process.stderr is not None:
        process.stderr.close()
    code = process.wait()
    if separate:
        stream.write(struct.pack("<BIB", _EXIT, 1, code if code >= 0 else 128 - code))


def _sync(stream: Stream, device: Device) -> None:
    while True:
        request, count = struct.unpack("<4sI", stream.read(8))
        name = stream.read(count).decode(errors="surrogateescape")
        if request == b"QUIT":
            return
        if request == b"SEND":
            _receive(stream, device, name)
        elif request == b"RECV":
            _transmit(stream, device.path(name))
        else:
            stream.write(_stat(request, device.path(name)))


def _stat(request: bytes, path: Path) -> bytes:
    follow = request == b"STA2"
    try:
        found = path.stat() if follow else path.lstat()
    except OSError as error:
        numbers = (0,) * 3 if request == b"STAT" else (error.errno or 0, *(0,) * 10)
    else:
        times = int(found.st_atime), int(found.st_mtime), int(found.st_ctime)
        owner = found.st_nlink, found.st_uid, found.st_gid
        numbers = (found.st_mode, found.st_size & 0xFFFFFFFF, times[1])
        if request != b"STAT":
            numbers = (0, found.st_dev, found.st_ino, found.st_mode, *owner, found.st_size, *times)
    return request + struct.pack("<III" if request == b"STAT" else "<IQQIIIIQqqq", *numbers)


def _fail(stream: Stream, words: str) -> None:
    stream.write(b"FAIL" + struct.pack("<I", len(words.encode())) + words.encode())


def _receive(stream: Stream, device: Device, name: str) -> None:
    """Take a pushed file; after a failure the rest is read and dropped, as adbd does."""
    name, _, mode = name.rpartition(",")
    path, failed = device.path(name), ""
    try:
        device.received(0)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        failed, path = f"couldn't create file: {error.strerror}", Path(os.devnull)
    with path.open("wb") as file:
        while True:
            kind, count = struct.unpack("<4sI", stream.read(8))
            if kind == b"DONE":
                break
            data = stream.read(count)
            if failed:
                continue
            try:
                device.received(count)
                file.write(data)
            except OSError as error:
                failed = f"write failed: {error.strerror}"
                path.unlink()
    if failed:
        _fail(stream, failed)
        return
    owner = int(mode) & 0o700
    path.chmod(int(mode) & 0o700 | (owner >> 3) | (owner >> 6))  # as adbd: group and others get the owner's
    os.utime(path, (count, count))
    stream.write(b"OKAY" + struct.pack("<I", 0))


def _transmit(stream: Stream, path: Path) -> None:
    try:
        file = path.open("rb")
    except OSError as error:
        _fail(stream, f"open failed: {error.strerror}")
        return
    with file:
        while data := file.read(_CHUNK):
            stream.write(b"DATA" + struct.pack("<I", len(data)) + data)
    stream.write(b"DONE" + struct.pack("<I", 0))
