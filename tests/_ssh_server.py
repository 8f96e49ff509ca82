"""An SSH server on loopback, and the real OpenSSH client in front of it: no root, no sshd, no network.

Commands run with the real `sh` in a home folder of their own. All traffic passes a forwarder, which breaks as links do:
`cut` closes it after so many bytes, `hang` leaves it open and carries nothing.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import PIPE
from typing import Any, Final, Literal

import asyncssh

USER: Final = "tester"
# Found before PATH is changed, and given a configuration of its own: OpenSSH looks for the user's in the home folder of
# the password file, whatever HOME says.
_CLIENT: Final = shutil.which("ssh") or "ssh"
_CHUNK: Final = 64 << 10

Direction = Literal["there", "back"]


class Server:
    """What runs in the background; attributes may be changed at any time, for the connections to come.

    Attributes:
        where: its address, `ssh://USER@127.0.0.1:PORT`.
        home: of the user there; empty at first.
        programs: a folder to go first in PATH, with the one program `ssh`.
        known_hosts: the client's; holds the key of this server.
        client_options: what the client is given before all else, so that it wins.
        accepts_key: whether the client's key may log in.
        login_shell: what is given `-c COMMAND`, as sshd does; a script of a test can print or refuse first.
        environment: of commands.
        connections: how many there have been.
    """

    def __init__(self, folder: Path) -> None:
        self.home, self.programs = folder / "home", folder / "programs"
        self.known_hosts, self._options = folder / "known_hosts", folder / "options"
        self.accepts_key = True
        self.login_shell = Path("/bin/sh")
        path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        self.environment = {"HOME": str(self.home), "USER": USER, "PATH": path}
        self.port = 0
        self.connections = 0
        self._left: dict[Direction, int | None] = {"there": None, "back": None}
        self._flowing: set[asyncio.Event] = set()  # of each connection
        self._links: set[asyncio.StreamWriter] = set()
        self._commands: list[asyncio.subprocess.Process] = []
        self._loop = asyncio.new_event_loop()
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self._own_key = asyncssh.generate_private_key("ssh-ed25519")
        self._write_client(folder)

    @property
    def where(self) -> str:
        return f"ssh://{USER}@127.0.0.1:{self.port}"

    @property
    def client_options(self) -> tuple[str, ...]:
        return tuple(self._options.read_text().split())

    @client_options.setter
    def client_options(self, options: tuple[str, ...]) -> None:
        self._options.write_text(" ".join(options))

    def cut(self, direction: Direction, after: int = 0) -> None:
        """Close every connection once, when `after` more bytes have gone there or come back; 0: now."""
        self._left[direction] = after or None
        if not after:
            self._in_loop(self._close_links())

    def hang(self) -> None:
        """Carry nothing more for the connections that there are, as if a cable had been pulled; neither end is told."""
        for flowing in self._flowing:
            self._loop.call_soon_threadsafe(flowing.clear)

    def running(self) -> list[int]:
        """Process ids of commands that have not ended."""
        return [command.pid for command in self._commands if command.returncode is None]

    def change_key(self) -> None:
        """Let the client know another host key than the server has."""
        self._know(asyncssh.generate_private_key("ssh-ed25519"))

    def forget_key(self) -> None:
        """Let the client know no host key."""
        self.known_hosts.write_text("")

    def _know(self, key: asyncssh.SSHKey) -> None:
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {key.export_public_key().decode()}")

    def _write_client(self, folder: Path) -> None:
        self.home.mkdir(parents=True)
        self.programs.mkdir()
        self._options.write_text("")
        (folder / "key").write_bytes(self._key.export_private_key("openssh"))
        (folder / "key").chmod(0o600)
        settings = (
            *(f"UserKnownHostsFile {self.known_hosts}", "GlobalKnownHostsFile /dev/null"),
            *(f"IdentityFile {folder / 'key'}", "IdentitiesOnly yes", "IdentityAgent none"),
            "Ciphers aes128-gcm@openssh.com",  # the fastest of the server's
        )
        (folder / "config").write_text("\n".join(settings) + "\n")
        client = self.programs / "ssh"
        client.write_text(f'#!/bin/sh\nexec {_CLIENT} -F {folder / "config"} $(cat {self._options}) "$@"\n')
        client.chmod(0o755)

    # In the thread of the server.

    def _in_loop(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def start(self) -> None:
        server = await asyncssh.create_server(
            lambda: _Login(self),
            "127.0.0.1",
            0,
            server_host_keys=[self._own_key],
            process_factory=self._run,
            encoding=None,
        )
        behind = server.sockets[0].getsockname()[1]
        front = await asyncio.start_server(lambda *ends: self._link(behind, *ends), "127.0.0.1", 0)
        self.port = front.sockets[0].getsockname()[1]
        self._know(self._own_key)

    async def stop(self) -> None:
        for flowing in self._flowing:
            flowing.set()
        await self._close_links()
        for pid in self.running():
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        await asyncio.sleep(0.02)  # what lost its connection or its command ends by itself
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, session: asyncssh.SSHServerProcess[bytes]) -> None:
        command = await asyncio.create_subprocess_exec(
            *(self.login_shell, "-c", session.command or ""),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=self.environment,
            cwd=self.home,
            start_new_session=True,
        )
        self._commands.append(command)
        feeding = asyncio.ensure_future(self._feed(session, command))
        await asyncio.gather(
            self._pump(command, 1, command.stdout, session.stdout),
            self._pump(command, 2, command.stderr, session.stderr),
        )
        code = await command.wait()
        feeding.cancel()
        if code < 0:
            session.exit_with_signal(signal.Signals(-code).name.removeprefix("SIG"))
        else:
            session.exit(code)

    async def _feed(
        self, session: asyncssh.SSHServerProcess[bytes], command: asyncio.subprocess.Process
    ) -> None:
        assert command.stdin is not None
        with suppress(OSError, asyncssh.Error):  # the connection is lost, or the command reads no more
            while data := await session.stdin.read(_CHUNK):
                command.stdin.write(data)
                await command.stdin.drain()
        command.stdin.close()

    async def _pump(
        self,
        command: asyncio.subprocess.Process,
        number: int,
        source: asyncio.StreamReader | None,
        target: asyncssh.SSHWriter[bytes],
    ) -> None:
        assert source is not None
        with suppress(OSError, asyncssh.Error):  # the connection is lost
            while data := await source.read(_CHUNK):
                target.write(data)
                await target.drain()
        pipe = command._transport.get_pipe_transport(number)
        if pipe is not None:
            pipe.close()  # as sshd does: who goes on writing gets a SIGPIPE

    async def _link(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        self._links |= {writer, far_writer}
        flowing = asyncio.Event()
        flowing.set()
        self._flowing.add(flowing)
        await asyncio.gather(
            self._carry("there", reader, far_writer, flowing),
            self._carry("back", far_reader, writer, flowing),
        )
        for end in (writer, far_writer):
            end.transport.abort()
        self._links -= {writer, far_writer}

    async def _carry(
        self,
        way: Direction,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        flowing: asyncio.Event,
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await flowing.wait()
                left = self._left[way]
                writer.write(data if left is None else data[:left])
                await writer.drain()
                if left is not None:
                    self._left[way] = left - len(data)
                    if left <= len(data):
                        self._left[way] = None
                        await self._close_links()
            await flowing.wait()
            writer.write_eof()

    async def _close_links(self) -> None:
        for end in self._links:
            end.transport.abort()


class _Login(asyncssh.SSHServer):
    """Lets the one key in, if any, and offers passwords, so that a client that may ask would ask."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return self._server.accepts_key and key == self._server._key.convert_to_public()

    def password_auth_supported(self) -> bool:
        return True

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        """It is a jump host, too."""
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return False


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A server with all that it keeps in `folder`, which is empty, and has no spaces in its path."""
    server = Server(folder)
    thread = threading.Thread(target=server._loop.run_forever, daemon=True)
    thread.start()
    server._in_loop(server.start())
    try:
        yield server
    finally:
        server._in_loop(server.stop())
        server._loop.call_soon_threadsafe(server._loop.stop)
        thread.join(10)
