"""The real agent behind the real client: what it answers, and what becomes of a run whose device fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest

from edgevit.core.errors import DeviceError, DeviceLostError
from edgevit.devices import _channel, _python
from edgevit.devices import session as sessions
from edgevit.devices._ssh import copying
from edgevit.devices._ssh.connection import Connection
from edgevit.devices._ssh.place import open_place
from edgevit.devices.session import Chunk, Session, connect, persist
from tests._ssh_server import Server
from tests.edgevit.devices.ssh._small_model import FILE, answers, images, save
from tests.edgevit.devices.ssh.test_connection import clients, eventually, logs_in_by

PYTHON = Path(sys.executable)
NAME = """it's "a" $(touch canary) `touch canary`; touch canary.onnx"""


@contextmanager
def session_on(server: Server, keep: bool = False) -> Iterator[Session]:
    with open_place(server.where) as place, connect(place, keep) as session:
        yield session


def refused(server: Server) -> DeviceError:
    with pytest.raises(DeviceError) as caught, session_on(server):
        pass
    assert caught.value.exit_code == 3 and caught.value.hint
    return caught.value


def stands_in(server: Server, script: str) -> None:
    """Let `python3` of the device be a script of the shell; REAL is the one here."""
    folder = server.home.parent / "stand-in"
    folder.mkdir(exist_ok=True)
    (folder / "python3").write_text("#!/bin/sh\n" + script.replace("REAL", str(PYTHON)) + "\n")
    (folder / "python3").chmod(0o755)
    server.environment["PATH"] = f"{folder}:/usr/bin:/bin"


def agent_stands_in(server: Server, script: str) -> None:
    """The same for the agent alone; in the script, $3 is the word that its messages begin with."""
    stands_in(server, f'case "$2" in serve) {script};; *) exec REAL "$@";; esac')


def left(server: Server) -> list[str]:
    return sorted(str(path.relative_to(server.home)) for path in server.home.rglob("*"))


def block(session: Session, path: str, seconds: float = 0.0) -> object:
    return session.time({path: FILE}, runs=5, seconds=seconds, threads=1, cpus=(), unit="all", timeout=60.0)


def test_it_says_what_it_is_measures_executes_and_leaves_nothing(server: Server, tmp_path: Path) -> None:
    """Whatever the login prints before."""
    logs_in_by(server, 'echo "Last login: today"; echo \'{"id": 1}\'; exec sh "$@"')
    model, pixels, outputs = save(tmp_path), images(tmp_path, 7), tmp_path / "outputs.npz"
    with session_on(server) as session:
        assert session.fingerprint.cores == os.cpu_count() and session.fingerprint.runtimes["onnxruntime"]
        path = session.store.put(model)
        timed = session.time({path: FILE}, runs=5, seconds=0.0, threads=1, cpus=(), unit="all", timeout=60.0)
        done: list[int] = []
        label = session.execute(
            path,
            FILE,
            (Chunk(session.store.put_array(pixels), outputs),),
            threads=1,
            unit="all",
            timeout=60.0,
            done=lambda chunk, count: done.append(count),
        )
    assert len(timed.files[0].wall_ms) >= 5 and min(timed.files[0].wall_ms) > 0
    assert label.startswith("onnxruntime ") and done == [7]
    with np.load(outputs) as found:
        np.testing.assert_allclose(
            found[found.files[0]].reshape(7, -1), answers(pixels), rtol=1e-4, atol=1e-3
        )
    assert eventually(lambda: not server.running()) and left(server) == [".cache", "login-shell"]


def test_what_is_kept_is_not_pushed_again_unless_it_is_another(server: Server, tmp_path: Path) -> None:
    """Another by its digest: the size is the same. Weights beside a file keep its name, which is only a name."""
    model, pixels = save(tmp_path).rename(tmp_path / NAME), images(tmp_path, 3)
    (tmp_path / f"{NAME}.data").write_bytes(b"weights")

    def pushed() -> dict[Path, tuple[int, int]]:
        with session_on(server, keep=True) as session:
            session.store.put(model)
            session.store.put_array(pixels)
        files = [path for path in server.home.rglob("*") if path.suffix in (".onnx", ".data", ".npy", ".pyz")]
        return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}

    first = pushed()
    assert len(first) == 4 and pushed() == first and {path.name for path in first} >= {NAME, f"{NAME}.data"}
    for path in first:
        damaged = bytearray(path.read_bytes())
        damaged[-1] ^= 1
        path.write_bytes(damaged)
    (server.home / ".cache/edgevit-device/agent-0000.pyz").write_text("print('an older one')")
    assert first.keys() <= pushed().keys()
    assert {path.read_bytes() for path in first} >= {model.read_bytes(), b"weights", pixels.read_bytes()}
    assert not list(server.home.rglob("canary"))


def test_a_push_that_breaks_off_is_made_again(server: Server, tmp_path: Path) -> None:
    model, notes = save(tmp_path), list[str]()

    def work(session: Session) -> int:
        if not notes:
            server.cut("there", 500_000)
        return Path(session.store.put(model)).stat().st_size

    assert persist(lambda: session_on(server), work, notes.append) == model.stat().st_size
    assert len(notes) == 1 and "broke" in notes[0] and "connecting again (1 of 2)" in notes[0]


def test_a_block_that_breaks_off_ends_there_and_is_told(server: Server, tmp_path: Path) -> None:
    model = save(tmp_path)
    with open_place(server.where) as place, connect(place) as session:
        path = session.store.put(model)
        threading.Timer(1.0, server.cut, ["back"]).start()
        begin = time.monotonic()
        with pytest.raises(DeviceLostError, match="the connection to .* broke"):
            block(session, path, seconds=50.0)
        assert time.monotonic() - begin < 10
        assert eventually(lambda: not server.running())
        assert eventually(lambda: left(server) == [".cache"])


def test_a_batch_that_breaks_off_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    model, notes, executed = save(tmp_path), list[str](), list[str]()
    waiting = {tmp_path / f"{n}.npz": images(tmp_path, 4, n) for n in range(6)}
    expected = {out: answers(pixels) for out, pixels in waiting.items()}

    def done(chunk: Chunk, count: int) -> None:
        executed.append(chunk.outputs.name)
        del waiting[chunk.outputs]
        if len(executed) == 2:
            server.cut("back")

    def work(session: Session) -> str:
        path = session.store.put(model)
        chunks = tuple(Chunk(session.store.send_array(pixels), out) for out, pixels in waiting.items())
        return session.execute(path, FILE, chunks, threads=1, unit="all", timeout=60.0, done=done)

    persist(lambda: session_on(server), work, notes.append)
    assert executed == [f"{n}.npz" for n in range(6)] and len(notes) == 1
    for out, values in expected.items():
        with np.load(out) as found:
            np.testing.assert_allclose(found[found.files[0]].reshape(4, -1), values, rtol=1e-4, atol=1e-3)
    assert not [*tmp_path.glob("*.part")]


def test_images_that_travel_beside_the_work_are_waited_for(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of them arrives damaged, the second late; then the copy fails, which the waiting call tells."""
    model, sent, put = save(tmp_path), list[str](), copying.put

    def slow(connection: Connection, local: Path, remote: str) -> None:
        sent.append(remote)
        if len(sent) == 1:
            put(connection, model, remote)
        elif len(sent) == 3:
            raise DeviceError("no space left")
        else:
            time.sleep(1.0)
            put(connection, local, remote)

    def executed(session: Session, path: str, count: int) -> Path:
        chunk = Chunk(session.store.send_array(images(tmp_path, count, count)), tmp_path / f"{count}.npz")
        session.execute(path, FILE, (chunk,), threads=1, unit="all", timeout=60.0, done=lambda *_: None)
        return chunk.outputs

    with session_on(server) as session:
        path = session.store.put(model)
        monkeypatch.setattr(copying, "put", slow)
        with pytest.raises(DeviceLostError, match="pixels.npy arrived damaged"):
            executed(session, path, 4)
        with np.load(executed(session, path, 5)) as found:
            assert found[found.files[0]].shape[0] == 5
        with pytest.raises(DeviceError, match="no space left"):
            executed(session, path, 6)
    assert eventually(lambda: left(server) == [".cache"])


def test_behind_a_dead_link_the_old_agent_leaves_and_a_new_one_takes_over(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its input does not end, as nobody tells the device; so it goes by what it hears."""
    monkeypatch.setattr(_channel, "_ALIVE_SECONDS", 0.3)
    monkeypatch.setattr(sessions, "_SILENCE_SECONDS", 1.5)
    server.client_options = ("-oServerAliveInterval=1", "-oServerAliveCountMax=1")
    model, notes = save(tmp_path), list[str]()

    def work(session: Session) -> str:
        if not notes:
            server.hang()
        return session.store.put(model)

    persist(lambda: session_on(server), work, notes.append)
    assert len(notes) == 1 and "Timeout, server 127.0.0.1 not responding" in notes[0]
    assert eventually(lambda: left(server) == [".cache"])


def test_a_connection_that_never_holds_ends_after_three_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions.time, "sleep", lambda seconds: None)
    notes = list[str]()

    def work(session: object) -> None:
        raise DeviceLostError("the connection broke")

    with pytest.raises(DeviceLostError):
        persist(nullcontext, work, notes.append)
    assert len(notes) == 2


@pytest.mark.parametrize(
    ("says", "message"),
    [
        ('echo "$3 {not json"', "sends what is no answer of our agent"),
        ('echo "$3 [1, 2]"', "sends what is no answer of our agent"),
        (
            """echo "$3 {\\"id\\": 1, \\"protocol\\": 99}\"""",
            "introduces itself in a way that no agent of ours does",
        ),
        ("yes", "sends what is no answer of our agent: more than a megabyte of it"),
        ("""printf '%s {"id": 1, "x": "' "$3"; yes | tr -d '\\n'""", "sends what is no answer of our agent"),
        ("echo Segmentation fault >&2; exit 139", "ended before the answer came: Segmentation fault"),
        ("kill -9 $$", "ended before the answer came"),
    ],
)
def test_what_is_no_answer_is_not_taken_for_one(server: Server, says: str, message: str) -> None:
    agent_stands_in(server, says)
    assert message in refused(server).message
    assert eventually(lambda: not server.running())


@pytest.fixture
def no_other_python(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test stands in for `python3` is the only one there."""
    commands = server.home.parent / "commands"
    commands.mkdir()
    for name in ("sh", "cat", "mkdir", "mv", "rm", "wc", "uname"):
        (commands / name).symlink_to(f"/bin/{name}")
    stands_in(server, "exit 127")
    server.environment["PATH"] = f"{server.home.parent / 'stand-in'}:{commands}"
    monkeypatch.setattr(_python, "_ELSEWHERE", ())


@pytest.mark.usefixtures("no_other_python")
def test_no_python(server: Server) -> None:
    error = refused(server)
    assert error.message == f"{server.where} has no Python 3.8 or newer"
    assert f"edgevit doctor --device {server.where}" in error.hint


@pytest.mark.usefixtures("no_other_python")
def test_a_python_that_is_too_old(server: Server) -> None:
    old = "import sys; sys.version_info = (3, 7, 3); exec(sys.argv[1])"
    (server.home.parent / "stand-in" / "python3").write_text(f'#!/bin/sh\nexec {PYTHON} -c "{old}" "$2"\n')
    assert refused(server).message == f"{server.where} has Python 3.7.3 only, the agent needs 3.8"


@pytest.mark.usefixtures("no_other_python")
def test_a_python_for_another_processor(server: Server) -> None:
    """An aarch64 ELF file, which the kernel refuses to execute."""
    elf = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00\x01" + bytes(60)
    (server.home.parent / "stand-in" / "python3").write_bytes(elf)
    assert refused(server).message == f"{server.where} has no Python 3.8 or newer"


def test_a_runtime_for_another_device(server: Server, tmp_path: Path) -> None:
    (tmp_path / "site" / "onnxruntime").mkdir(parents=True)
    server.environment["PYTHONPATH"] = str(tmp_path / "site")
    with session_on(server) as session:
        path = session.store.put(save(tmp_path))
        for reason in (
            "version `GLIBC_2.34' not found (required by x.so)",
            "x.so: wrong ELF class: ELFCLASS32",
        ):
            (tmp_path / "site" / "onnxruntime" / "__init__.py").write_text(f"raise ImportError({reason!r})\n")
            with pytest.raises(DeviceError) as caught:
                block(session, path)
            assert reason in caught.value.message and server.where in caught.value.message
            assert f"edgevit doctor --device {server.where}" in caught.value.hint


def test_a_full_disk_there(server: Server, tmp_path: Path) -> None:
    logs_in_by(server, 'ulimit -f 1000; exec sh "$@"')
    with session_on(server) as session, pytest.raises(DeviceError, match="no space left on"):
        session.store.put(save(tmp_path))
    assert eventually(lambda: left(server) == [".cache", "login-shell"])


@pytest.mark.family  # the lock is waited for
def test_a_second_run_at_a_time_is_told(server: Server) -> None:
    with session_on(server):
        error = refused(server)
    assert error.message == f"{server.where}: another run of edgevit is using the device"


def test_ctrl_c_in_a_block_cleans_up_on_both_sides(server: Server, temporary: Path, tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from edgevit.agent.feed import Feed\n"
        "from edgevit.core.runner import DeviceFile, DeviceOutput\n"
        "from edgevit.devices._ssh.place import open_place\n"
        "from edgevit.devices.session import connect\n"
        f"file = {FILE!r}\n"
        "with open_place(sys.argv[1]) as place, connect(place) as session:\n"
        "    path = session.store.put(Path(sys.argv[2]))\n"
        "    print('ready', flush=True)\n"
        "    session.time({path: file}, runs=5, seconds=50, threads=1, cpus=(), unit='all', timeout=60)\n"
    )
    user = subprocess.Popen(
        [sys.executable, "-c", program, server.where, str(save(tmp_path))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    assert user.stdout is not None and user.stdout.readline() == b"ready\n"
    time.sleep(1.0)
    user.send_signal(signal.SIGINT)
    _, said = user.communicate(timeout=15)
    assert b"KeyboardInterrupt" in said
    assert eventually(lambda: not server.running() and not clients(temporary))
    assert left(server) == [".cache"] and list(temporary.iterdir()) == []
