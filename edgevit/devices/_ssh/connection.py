"""One connection of ours to a device, over which every command runs: OpenSSH's control master, kept as our child.

The master runs a session of its own that waits for the end of its input. So it knows the home folder from the start,
and however this process ends, its end of the pipe closes, and with it the session and the connection.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import tempfile
import threading
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from subprocess import PIPE, Popen
from typing import IO, Final

from edgevit.core.errors import DeviceError, MissingDependencyError
from edgevit.core.process.interrupt import shielded
from edgevit.core.process.scratch import owned, scratch
from edgevit.devices._shell import Tail, close
from edgevit.devices._ssh import messages
from edgevit.devices._ssh.address import Address
from edgevit.devices._ssh.login_shell import line_for
from edgevit.devices._ssh.streams import piped, read_to

CONNECT_S: Final = 15  # for each host on the way
HELLO_S: Final = 60.0  # for logging in, too: a slow board, a key that wants to be touched
GOODBYE_S: Final = 2.0
# A link that is dead is noticed after half a minute. One small packet in ten seconds disturbs no measurement.
_ALIVE_S, _ALIVE_COUNT = 10, 3
_NOISE: Final = 256 << 10  # bytes that the login may print before our first word
# A name without anything that OpenSSH would expand, and short: it adds 17 characters while it makes the socket, whose
# path may have 103 bytes on a Mac and 107 on Linux.
_PLAIN_PATH: Final = re.compile(r"[\w/.-]{1,80}", re.ASCII)

# Whatever the user's configuration says for this host: no terminal, nothing forwarded, no question, no command of its
# own, and all of OpenSSH's messages. Host keys are checked as the user has it.
_OPTIONS: Final = (
    *("BatchMode=yes", "RequestTTY=no", "RemoteCommand=none", "PermitLocalCommand=no", "LogLevel=INFO"),
    *("ClearAllForwardings=yes", "ForwardAgent=no", "ForwardX11=no", "Tunnel=no", "ControlPersist=no"),
    *(
        f"ConnectTimeout={CONNECT_S}",
        f"ServerAliveInterval={_ALIVE_S}",
        f"ServerAliveCountMax={_ALIVE_COUNT}",
    ),
)
# Without the master a client would connect by itself, and run its script in a place that has forgotten the others.
_NO_OTHER_WAY: Final = ("-o", "ControlMaster=no", "-o", "ProxyCommand=false")


class Connection:
    """Open until `close`, or until it breaks: what ran there is then gone, and a place is to be opened anew."""

    def __init__(self, address: Address, folder: Path) -> None:
        """`folder` is private and has a short path: the control socket lies in it.

        Raises:
            MissingDependencyError: no OpenSSH client on this computer.
        """
        program = shutil.which("ssh")
        if program is None:
            raise MissingDependencyError(
                "there is no OpenSSH client on this computer: no program `ssh` in PATH",
                "install it, for example with `sudo apt install openssh-client`",
            )
        self.address = address
        self._program = program
        self._socket = folder / "c"
        self._master: Popen[bytes] | None = None
        self._said: Tail | None = None
        self._clients: list[Popen[bytes]] = []
        self._starting = threading.Lock()  # files are copied beside other work

    def open(self) -> str:
        """Connect, log in, and return the home folder there.

        Raises:
            DeviceError: not to be reached, not to be logged in to, or no shell of Unix there.
        """
        self.close()
        word = secrets.token_hex(8)
        script = f"printf '%s' {word}'<'\"$HOME\"'>'{word}; exec cat >/dev/null"
        self._master = self._popen(("-o", "ControlMaster=yes"), script, PIPE)
        self._said = Tail(piped(self._master.stderr))
        heard, _ = read_to(piped(self._master.stdout), f">{word}".encode(), HELLO_S, _NOISE)
        _, found, home = heard.decode(errors="surrogateescape").rpartition(f"{word}<")
        if not found:
            raise self._no_hello(heard)
        if not home.startswith("/"):
            raise DeviceError(
                f"{self.address.where} has no home folder for this user",
                "give the account one: HOME is empty there",
            )
        return home

    def start(self, script: str, stdin: int | IO[bytes] = PIPE) -> Popen[bytes]:
        """Run a script there; its streams are those of the returned process, unbuffered.

        Raises:
            DeviceLostError: the connection is broken.
        """
        if self._master is None or self._master.poll() is not None:
            raise self._lost()
        process = self._popen(_NO_OTHER_WAY, script, stdin)
        with self._starting:
            self._clients = [client for client in self._clients if client.poll() is None] + [process]
        return process

    def failure(self, code: int, stderr: str) -> DeviceError | None:
        """What broke, for a process of `start` that ended with `code`; None where it was not the connection."""
        if code != 255:  # the only status that OpenSSH gives of itself
            return None
        assert self._master is not None
        with suppress(subprocess.TimeoutExpired):  # the master ends last, a moment after those it carries
            self._master.wait(0.5)
        return messages.explain(stderr, self.address) if self._master.poll() is None else self._lost()

    def close(self) -> None:
        """End the connection and whatever runs over it; what runs there sees the end of its input."""
        with shielded():
            for process in (*self._clients, *([self._master] if self._master else [])):
                _end(process)
            if self._master is not None:
                close(self._master)
            self._clients, self._master = [], None
            self._socket.unlink(missing_ok=True)

    def _popen(self, options: tuple[str, ...], script: str, stdin: int | IO[bytes]) -> Popen[bytes]:
        settings = (part for option in _OPTIONS for part in ("-o", option))
        command = (self._program, "-T", *settings, "-S", str(self._socket), *options)
        # In a session of their own: Ctrl-C is for us, who still need the connection to clean up there, and no
        # terminal is at hand to ask questions on. Messages of both sides are to be in English.
        return Popen(
            (*command, *self.address.arguments, line_for(script)),
            bufsize=0,
            stdin=stdin,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,
            env={**os.environ, "LC_ALL": "C"},
        )

    def _lost(self) -> DeviceError:
        said = "" if self._said is None else self._said.text()
        return messages.explain(said, self.address) or messages.lost(self.address, messages.last_line(said))

    def _no_hello(self, heard: bytes) -> DeviceError:
        """Why our first word did not come: `heard` is what came instead."""
        assert self._master is not None and self._said is not None
        where = self.address.where
        hint = f"`{self.address.command('ssh', 'exec sh -c true')}` must end at once, without a question or a word"
        code: int | None = None
        with suppress(subprocess.TimeoutExpired):
            code = self._master.wait(0.5)
        self._master.terminate()
        if len(heard) >= _NOISE:
            return DeviceError(f"{where} prints without end when one logs in", hint)
        said = self._said.text()
        if code == 255 and (error := messages.explain(said, self.address)):
            return error
        words = messages.last_line(said) or messages.last_line(heard.decode(errors="replace"))
        if code is None:
            return DeviceError(f"{where} gave no answer to a first script: {words or 'nothing came'}", hint)
        words = words or f"status {code}"
        if code == 255:
            return DeviceError(f"OpenSSH cannot connect to {where}: {words}", hint)
        return DeviceError(f"{where} lets us in, but runs no script of the Unix shell there: {words}", hint)


def _end(process: Popen[bytes]) -> None:
    """Let a client end, by the end of its input, and end it if it does not."""
    if process.stdin is not None:
        with suppress(OSError):  # what could not be written is not wanted any more
            process.stdin.close()
    for end in (None, process.terminate, process.kill):
        if end is not None:
            end()
        with suppress(subprocess.TimeoutExpired):
            process.wait(GOODBYE_S)
            return


def control_folder() -> AbstractContextManager[Path]:
    """A private folder for a control socket, removed on the way out.

    Raises:
        StorageError: on entering, where there is no place for it.
    """
    if _PLAIN_PATH.fullmatch(f"{tempfile.gettempdir()}/edgevit-12345678"):
        return scratch()
    return owned(Path("/tmp"), "edgevit-", temporary=True)
