"""Files there and back through the real client: whole or not at all, whatever they are called."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from edgevit.core.errors import DeviceError, DeviceLostError, InputError, StorageError
from edgevit.core.place import Place
from edgevit.devices._ssh.place import open_place
from tests._ssh_server import Server
from tests.edgevit.devices.ssh.test_connection import eventually, logs_in_by

NAMES = (
    "a b",
    "it's",
    '"',
    "a;touch canary",
    "$(touch canary)",
    "`touch canary`",
    "-rf",
    "a\nb",
    "\\",
    "é☃",
    "%s%n",
    "!!",
)


def written(folder: Path, size: int) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "local"
    path.write_bytes(random.Random(size).randbytes(size))
    return path


def there(server: Server) -> list[Path]:
    return sorted(path for path in (server.home / ".cache").rglob("*") if path.is_file())


@pytest.mark.parametrize("size", [0, 1, 5_000_000])
def test_a_file_comes_back_as_it_went(server: Server, tmp_path: Path, size: int) -> None:
    local = written(tmp_path / "here", size)
    with open_place(server.where) as place:
        for _ in range(2):  # anew, and over what stands there
            place.put(local, f"{place.root}/files/x")
            place.get(f"{place.root}/files/x", tmp_path / "here" / "back")
    assert (tmp_path / "here" / "back").read_bytes() == local.read_bytes()
    assert there(server) == [server.home / ".cache/edgevit-device/files/x"]
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["back", "local"]


def test_names_are_names_and_nothing_runs(server: Server, tmp_path: Path) -> None:
    with open_place(server.where) as place:
        for number, name in enumerate(NAMES):
            local = written(tmp_path / "here", number)
            place.put(local, f"{place.root}/{name}/{name}")
            assert (Path(place.root) / name / name).read_bytes() == local.read_bytes()
            place.get(f"{place.root}/{name}/{name}", tmp_path / name)
            assert (tmp_path / name).read_bytes() == local.read_bytes()
    assert len(there(server)) == len(NAMES)
    assert list(tmp_path.rglob("canary")) == []


def put_big(place: Place, tmp_path: Path) -> None:
    place.put(written(tmp_path / "here", 5_000_000), f"{place.root}/files/x")


def test_a_push_that_breaks_off_leaves_nothing_and_may_be_repeated(server: Server, tmp_path: Path) -> None:
    with open_place(server.where) as place:
        server.cut("there", 1_000_000)
        with pytest.raises(DeviceLostError, match=f"the connection to {server.where} broke"):
            put_big(place, tmp_path)
        assert eventually(lambda: not server.running())
        assert there(server) == []
    with open_place(server.where) as place:
        put_big(place, tmp_path)
    assert (server.home / ".cache/edgevit-device/files/x").stat().st_size == 5_000_000


def test_a_push_that_breaks_off_keeps_the_file_that_was_there(server: Server, tmp_path: Path) -> None:
    with open_place(server.where) as place:
        place.put(written(tmp_path / "here", 3), f"{place.root}/files/x")
        server.cut("there", 1_000_000)
        with pytest.raises(DeviceLostError):
            put_big(place, tmp_path)
        assert eventually(lambda: not server.running())
    assert [path.stat().st_size for path in there(server)] == [3]


def test_an_answer_that_breaks_off_leaves_no_half_file(server: Server, tmp_path: Path) -> None:
    with open_place(server.where) as place:
        put_big(place, tmp_path)
        server.cut("back", 1_000_000)
        with pytest.raises(DeviceLostError):
            place.get(f"{place.root}/files/x", tmp_path / "here" / "back")
        assert [path.name for path in (tmp_path / "here").iterdir()] == ["local"]
    with open_place(server.where) as place:
        place.get(f"{place.root}/files/x", tmp_path / "here" / "back")


def test_a_full_disk_there(server: Server, tmp_path: Path) -> None:
    """A limit on the size of files: the command is ended or told, as on a disk that is full."""
    logs_in_by(server, 'ulimit -f 1000; exec sh "$@"')
    with open_place(server.where) as place, pytest.raises(DeviceError) as caught:
        put_big(place, tmp_path)
    assert caught.value.message.startswith(f"no space left on {server.where} for a file of 5.0 MB: File")
    assert (
        f"ssh -p {server.port} tester@127.0.0.1 'df -h {server.home}/.cache/edgevit-device/files'"
        in caught.value.hint
    )
    assert there(server) == []


@pytest.mark.parametrize("message", ["No space left on device", "Disk quota exceeded"])
def test_a_full_disk_as_cat_tells_it(server: Server, tmp_path: Path, message: str) -> None:
    stand_in = server.home / "bin" / "cat"
    stand_in.parent.mkdir()
    stand_in.write_text(f'#!/bin/sh\nhead -c 1000\necho "cat: write error: {message}" >&2\nexit 1\n')
    stand_in.chmod(0o755)
    with open_place(server.where) as place:
        server.environment["PATH"] = f"{stand_in.parent}:{server.environment['PATH']}"
        with pytest.raises(DeviceError, match=f"no space left on .* cat: write error: {message}"):
            put_big(place, tmp_path)
    assert there(server) == []


def test_a_place_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (server.home / ".cache").write_text("a file where a folder should be")
    with (
        open_place(server.where) as place,
        pytest.raises(DeviceError, match="does not take .*: mkdir: ") as caught,
    ):
        put_big(place, tmp_path)
    assert "must be able to write to" in caught.value.hint


def test_what_is_missing_or_no_file_is_said(server: Server, tmp_path: Path) -> None:
    with open_place(server.where) as place:
        with pytest.raises(DeviceError, match="cannot read .*/no: there is no such file"):
            place.get(f"{place.root}/no", tmp_path / "back")
        with pytest.raises(DeviceError, match="there is no such file"):
            place.get(str(server.home), tmp_path / "back")
        with pytest.raises(InputError, match="the file .*/none does not exist"):
            place.put(tmp_path / "none", f"{place.root}/x")
        put_big(place, tmp_path)
        with pytest.raises(StorageError, match="cannot write"):
            place.get(f"{place.root}/files/x", tmp_path / "no folder" / "back")
    assert not (tmp_path / "back").exists()


def test_noise_of_a_login_is_no_part_of_a_file(server: Server, tmp_path: Path) -> None:
    logs_in_by(server, 'echo Welcome!; echo "it is late" >&2; exec sh "$@"')
    local = written(tmp_path / "here", 1000)
    with open_place(server.where) as place:
        place.put(local, f"{place.root}/x")
        place.get(f"{place.root}/x", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == local.read_bytes()


def test_a_file_that_grows_or_shrinks_while_it_is_fetched(server: Server, tmp_path: Path) -> None:
    """The announced length and the bytes that come must agree: a stand-in for `wc` announces another."""
    stand_in = server.home / "bin" / "wc"
    stand_in.parent.mkdir()
    with open_place(server.where) as place:
        place.put(written(tmp_path / "here", 1000), f"{place.root}/x")
        server.environment["PATH"] = f"{stand_in.parent}:{server.environment['PATH']}"
        for announced in (990, 1010, 10**12):
            stand_in.write_text(f"#!/bin/sh\necho '   {announced}'\n")
            stand_in.chmod(0o755)
            with pytest.raises(DeviceError):
                place.get(f"{place.root}/x", tmp_path / "back")
            with pytest.raises(InputError, match="changed while it was copied"):
                place.put(tmp_path / "here" / "local", f"{place.root}/y")
    assert not (tmp_path / "back").exists() and [path.name for path in there(server)] == ["x"]


def test_an_answer_without_end_is_not_waited_for(server: Server, tmp_path: Path) -> None:
    with open_place(server.where) as place:
        place.put(written(tmp_path / "here", 10), f"{place.root}/x")
        logs_in_by(server, "exec yes")
        with pytest.raises(DeviceError, match="prints without end"):
            place.get(f"{place.root}/x", tmp_path / "back")
