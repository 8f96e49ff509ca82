"""Files to and from a device through `cat`: `scp` and `sftp` are missing on many boards.

A connection that breaks looks like the end of the file to `cat`. So the device counts the bytes before a file gets its
name, and what comes from there is announced with its length. A word of ours, made up for each copy, stands behind what
we are told; the rest of what a device prints is noise.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from subprocess import DEVNULL, Popen
from typing import Final

from edgevit.core.disk.regular import regular_file
from edgevit.core.disk.whole_files import write_stream
from edgevit.core.errors import DeviceError, InputError
from edgevit.devices._shell import Tail, close
from edgevit.devices._ssh import messages
from edgevit.devices._ssh.connection import Connection
from edgevit.devices._ssh.streams import piped, read, read_to

_START_S: Final = 60.0
_SLOWEST: Final = 50 << 10  # bytes in a second
_NOISE: Final = 256 << 10  # bytes that a login may print before our words

_PUT: Final = """\
export LC_ALL=C; umask 077
folder={folder} part={part} file={file}
if {{ [ -d "$folder" ] || mkdir -p "$folder"; }} && cat >"$part"
then [ "$(wc -c <"$part")" -eq {size} ] && told=done || told=changed
else told=refused
fi
[ $told != done ] || mv -f "$part" "$file" || told=refused
[ $told = done ] || rm -f "$part"
printf '\\n%s:%s\\n' $told {word}
"""
_GET: Final = """\
export LC_ALL=C
file={file}
if [ -f "$file" ] && size=$(wc -c <"$file")
then printf '\\n%s:%s\\n' $size {word}; cat "$file" && printf ':%s\\n' {word}
else printf '\\n%s:%s\\n' missing {word}
fi
"""
# SIGXFSZ, when a file would exceed a limit on its size, is told by the shell alone.
_NO_SPACE: Final = re.compile(
    r"No space left|[Qq]uota exceeded|File too large|File size limit exceeded|not enough space"
)


def put(connection: Connection, local: Path, remote: str) -> None:
    """Copy a file there, making its folder; it gets its name when all of it is there.

    Raises:
        InputError: `local` is no file, or changed meanwhile.
        DeviceError: no space, no permission.
        DeviceLostError: the connection broke, or nothing moved.
    """
    where = connection.address.where
    with regular_file(local, "the file").open("rb") as content:
        size, word = os.fstat(content.fileno()).st_size, secrets.token_hex(8)
        script = _PUT.format(
            folder=shlex.quote(str(PurePosixPath(remote).parent)),
            part=shlex.quote(f"{remote}.{word}.part"),
            file=shlex.quote(remote),
            size=size,
            word=word,
        )
        process = connection.start(script, content)
        said, told = Tail(piped(process.stderr)), Tail(piped(process.stdout))
        try:
            outcome = re.search(rf"(\w+):{word}$", told.text(_START_S + size / _SLOWEST))
            if outcome is None:
                raise _broken(connection, process, said)
        finally:
            close(process)
    if outcome[1] == "changed":
        raise InputError(f"{local} changed while it was copied to {where}", "copy it when it is at rest")
    if outcome[1] == "refused":
        raise _refused(connection, remote, size, said.text())


def get(connection: Connection, remote: str, local: Path) -> None:
    """Copy a file from there; `local` is written whole or not at all.

    Raises:
        DeviceError: it is missing, cannot be read, or changed meanwhile.
        DeviceLostError: the connection broke, or nothing came.
        StorageError: no room for it here.
    """
    word = secrets.token_hex(8)
    process = connection.start(_GET.format(file=shlex.quote(remote), word=word), DEVNULL)
    try:
        write_stream(local, _content(connection, process, remote, word))
    finally:
        close(process)


def _content(connection: Connection, process: Popen[bytes], remote: str, word: str) -> Iterator[bytes]:
    where, stream, said = connection.address.where, piped(process.stdout), Tail(piped(process.stderr))
    mark = f":{word}\n".encode()
    head, part = read_to(stream, mark, _START_S, _NOISE)
    told = head.rpartition(b"\n")[2]
    if told == b"missing":
        reason = messages.last_line(said.text()) or "there is no such file"
        raise DeviceError(f"{where}: cannot read {remote}: {reason}")
    if len(head) >= _NOISE:
        raise DeviceError(f"{where} prints without end when one logs in")
    if not told.isdigit():
        raise _broken(connection, process, said)
    left = int(told)
    while left > len(part):
        yield part
        left -= len(part)
        part = read(stream, _START_S)
        if not part:
            raise _broken(connection, process, said)
    yield part[:left]
    rest, _ = read_to(stream, mark, _START_S, _NOISE, part[left:])
    if rest:
        raise DeviceError(f"{where}: {remote} changed while it was copied", "copy it when it is at rest")


def _broken(connection: Connection, process: Popen[bytes], said: Tail) -> DeviceError:
    """Why there is no answer of our script."""
    try:
        code = process.wait(1.0)
    except subprocess.TimeoutExpired:
        return messages.lost(connection.address, "it took too long")
    words = said.text()
    return connection.failure(code, words) or DeviceError(
        f"{connection.address.where} ended a copy: {messages.last_line(words) or f'status {code}'}"
    )


def _refused(connection: Connection, remote: str, size: int, said: str) -> DeviceError:
    where, folder = connection.address.where, str(PurePosixPath(remote).parent)
    if _NO_SPACE.search(said):
        look = connection.address.command("ssh", f"df -h {shlex.quote(folder)}")
        return DeviceError(
            f"no space left on {where} for a file of {size / 1e6:.1f} MB: {messages.last_line(said)}",
            f"`{look}` shows what is full",
        )
    return DeviceError(
        f"{where} does not take {remote}: {messages.last_line(said) or 'it does not say why'}",
        f"the user who logs in must be able to write to {folder}",
    )
