"""Connecting, running and ending, through the real OpenSSH client: each fault in words, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgevit.core.errors import DeviceError, DeviceLostError, MissingDependencyError, UsageError
from edgevit.devices._ssh import connection
from edgevit.devices._ssh.place import open_place
from tests._ssh_server import USER, Server, serving


def eventually(holds: Callable[[], bool], seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(0.02)
    return holds()


def logs_in_by(server: Server, script: str) -> None:
    """Let the login shell be a script, which gets `-c COMMAND`."""
    server.login_shell = server.home / "login-shell"
    server.login_shell.write_text(f"#!/bin/sh\n{script}\n")
    server.login_shell.chmod(0o755)


def clients(folder: Path) -> list[str]:
    """Command lines of all processes that name a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended
            continue
        if str(folder) in line:
            found.append(line)
    return found


def refused(where: str) -> DeviceError:
    with pytest.raises(DeviceError) as caught, open_place(where):
        pass
    assert caught.value.exit_code == 3 and caught.value.message.isprintable() and caught.value.hint
    return caught.value


def test_scripts_run_and_all_is_gone_afterwards(server: Server, temporary: Path) -> None:
    with open_place(server.where) as place:
        assert (place.where, place.root) == (server.where, f"{server.home}/.cache/edgevit-device")
        process = place.spawn("read -r line; printf '%s|' \"$line\" '$HOME' a\\ b; echo said >&2; exit 7")
        out, err = process.communicate(b"\xc3\xa9 `x`\n")
        assert (out, err, process.returncode) == (b"\xc3\xa9 `x`|$HOME|a b|", b"said\n", 7)
        bytes_of = place.spawn("cat")
        everything = bytes(range(256)) * 300
        assert bytes_of.communicate(everything) == (everything, b"")
        left = place.spawn("echo ready; cat >/dev/null; echo over > ended")
        assert left.stdout is not None and left.stdout.read(6) == b"ready\n"
        assert len(server.running()) == 2 and clients(temporary)
        assert server.connections == 1
    assert left.poll() is not None
    assert eventually(lambda: not server.running()) and (server.home / "ended").read_text() == "over\n"
    assert clients(temporary) == [] and list(temporary.iterdir()) == []
    assert sorted(path.name for path in server.home.iterdir()) == ["ended"]


def test_what_a_login_prints_is_no_answer(server: Server) -> None:
    logs_in_by(server, 'echo "Welcome to board! <>"; echo "last login: never" >&2; exec sh "$@"')
    with open_place(server.where) as place:
        assert place.root == f"{server.home}/.cache/edgevit-device"


def test_an_unknown_host_key(server: Server) -> None:
    server.forget_key()
    error = refused(server.where)
    assert error.message == (
        f"the host key of {server.where} is not known on this computer, and edgevit accepts none by itself"
    )
    assert f"connect once by hand with `ssh -p {server.port} tester@127.0.0.1`" in error.hint
    assert server.known_hosts.read_text() == ""


def test_a_changed_host_key_names_the_line_and_is_not_replaced(server: Server) -> None:
    server.change_key()
    before = server.known_hosts.read_text()
    error = refused(server.where)
    assert f"its host key has changed (line 1 of {server.known_hosts}); it shows the ED25519 key SHA256:" in (
        error.message
    )
    assert "ssh-keygen -lf" in error.hint and "ssh-keygen -R" not in error.hint
    assert server.known_hosts.read_text() == before


def test_a_key_that_is_not_accepted_and_no_password_is_asked_for(server: Server) -> None:
    server.accepts_key = False
    error = refused(server.where)
    assert error.message == (
        "tester@127.0.0.1 takes none of this computer's keys, but would ask for a password, which edgevit never does"
    )
    assert f"`ssh-copy-id -p {server.port} tester@127.0.0.1`" in error.hint and "ssh-add" in error.hint


def test_no_such_host_and_nobody_who_listens(server: Server) -> None:
    assert refused("ssh://no-such-board.invalid").message.startswith(
        "there is no host no-such-board.invalid: "
    )
    refusing = refused("ssh://tester@127.0.0.1:1")
    assert refusing.message == "nothing listens on port 1 of 127.0.0.1: Connection refused"
    assert "sudo systemctl enable --now ssh" in refusing.hint


@pytest.mark.parametrize(
    ("login", "said"),
    [
        (
            "echo This account is currently not available.; exit 1",
            "runs no script of the Unix shell there: This acc",
        ),
        ("echo no $0 for you >&2; exit 255", "for you"),
        ("exec yes", "prints without end when one logs in"),
        ("exec yes >&2", "gave no answer to a first script: y"),
        ("sleep 60", "gave no answer to a first script: nothing came"),
        ('HOME= exec sh "$@"', "has no home folder for this user"),
    ],
)
def test_an_account_without_a_shell_that_can_be_used(
    server: Server, monkeypatch: pytest.MonkeyPatch, login: str, said: str
) -> None:
    monkeypatch.setattr(connection, "HELLO_S", 0.5)
    logs_in_by(server, login)
    begin = time.monotonic()
    assert said in refused(server.where).message
    assert time.monotonic() - begin < 5


def test_a_connection_that_breaks_while_logging_in(server: Server) -> None:
    server.cut("back", 2000)
    assert isinstance(refused(server.where), DeviceLostError)


def test_a_status_of_255_is_the_scripts_own_as_long_as_the_connection_stands(server: Server) -> None:
    with open_place(server.where) as place:
        for script in (
            "echo 'root@board: Permission denied (publickey).' >&2; exit 254",
            "exit 255",
            "kill -9 $$",
        ):
            process = place.spawn(script)
            _, err = process.communicate()
            assert place.failure(process.returncode, err.decode()) is None


def test_a_connection_that_breaks_is_told_and_not_made_again_behind_our_back(server: Server) -> None:
    with open_place(server.where) as place:
        process = place.spawn("echo ready; echo 'x@y: Permission denied (publickey).' >&2; cat")
        assert process.stdout is not None and process.stdout.read(6) == b"ready\n"
        server.cut("back")
        _, err = process.communicate()
        error = place.failure(process.returncode, err.decode())
        assert isinstance(error, DeviceLostError), error
        assert error.message.startswith(f"the connection to {server.where} broke: ")
        assert eventually(lambda: not server.running())  # what ran there has seen the end of its input
        with pytest.raises(DeviceLostError):
            place.spawn("echo again")
    with open_place(server.where) as place:
        assert place.spawn("echo again").communicate()[0] == b"again\n"


def test_a_client_without_its_master_does_not_connect_by_itself(server: Server, temporary: Path) -> None:
    with open_place(server.where) as place:
        (socket,) = temporary.glob("*/c")
        socket.unlink()
        process = place.spawn("echo here")
        out, err = process.communicate()
        assert (out, process.returncode) == (b"", 255)
        assert isinstance(place.failure(255, err.decode()), DeviceLostError)
    assert server.connections == 1


def test_a_link_that_is_dead_is_noticed(server: Server) -> None:
    """Here after two seconds, by options that win over ours; after half a minute as it is."""
    server.client_options = ("-oServerAliveInterval=1", "-oServerAliveCountMax=1")
    with open_place(server.where) as place:
        process = place.spawn("echo ready; cat")
        assert process.stdout is not None and process.stdout.read(6) == b"ready\n"
        server.hang()
        assert process.wait(10) == 255
        error = place.failure(255, "")
        assert (
            isinstance(error, DeviceLostError) and "Timeout, server 127.0.0.1 not responding" in error.message
        )


@pytest.mark.parametrize(
    "user", ["pi;touch${IFS}canary", "$(touch canary)", "`touch canary`", "-oProxyCommand=touch canary"]
)
def test_no_part_of_an_address_is_run(
    server: Server, user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for where in (f"ssh://{user}@127.0.0.1:{server.port}", f"ssh://{user}:{server.port}"):
        with pytest.raises(UsageError), open_place(where):
            pass
    assert not [*tmp_path.rglob("*canary*")]


def test_without_a_client(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependencyError) as caught, open_place(server.where):
        pass
    assert "there is no OpenSSH client on this computer" in caught.value.message
    assert "openssh-client" in caught.value.hint


def test_a_temporary_folder_with_a_long_name_holds_no_socket(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A path of a socket has 104 bytes on a Mac; a name with %, $ or a space would be expanded or split."""
    for name in ("x" * 100, "50% $HOME of it"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / name))
        with open_place(server.where) as place:
            assert place.spawn("echo here").communicate()[0] == b"here\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_stays_on_either_side_when_edgevit_is_ended(
    server: Server, temporary: Path, number: int
) -> None:
    """Ctrl-C cleans up; after a kill, too, the connection ends, because the pipe to its master closes."""
    program = (
        "import sys, time\n"
        "from edgevit.devices._ssh.place import open_place\n"
        "with open_place(sys.argv[1]) as place:\n"
        "    process = place.spawn('echo ready; cat >/dev/null; echo over > ended')\n"
        "    print(process.stdout.read(6).decode(), end='', flush=True)\n"
        "    time.sleep(60)\n"
    )
    user = subprocess.Popen(
        [sys.executable, "-c", program, server.where],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    assert user.stdout is not None and user.stdout.readline() == b"ready\n"
    user.send_signal(number)
    user.wait(10)
    assert eventually(lambda: not server.running() and not clients(temporary))
    assert (server.home / "ended").exists()
    if number == signal.SIGINT:
        assert list(temporary.iterdir()) == []
    user.stdout.close()


def test_an_alias_and_a_jump_host_of_the_users_configuration(server: Server) -> None:
    place_of = ("-oHostname=127.0.0.1", f"-oPort={server.port}", f"-oUser={USER}")
    server.client_options = (*place_of, f"-oProxyJump={USER}@localhost:{server.port}")
    known = server.known_hosts.read_text()
    server.known_hosts.write_text(known + known.replace("127.0.0.1", "localhost"))
    with open_place("ssh://my-board") as place:
        assert place.spawn("echo here").communicate() == (b"here\n", b"")
    assert server.connections == 2
    server.client_options = (*place_of, f"-oProxyJump={USER}@localhost:1")
    assert refused("ssh://my-board").message == "nothing listens on port 1 of localhost: Connection refused"


def test_two_places_at_a_time(server: Server, tmp_path: Path) -> None:
    with serving(tmp_path / "other") as other:
        other.known_hosts.write_text(other.known_hosts.read_text() + server.known_hosts.read_text())
        with open_place(server.where) as place, open_place(server.where) as again:
            assert place.spawn("echo $((1 + 1))").communicate() == again.spawn("echo 2").communicate()
