"""A full disk is told as one, whatever a library makes of it. Root feels a tmpfs of its own, or a limit."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgevit.core.disk.space import full_place, missing_space, require_space, storage_errors, written_by
from edgevit.core.errors import StorageError, UsageError


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
def test_the_systems_own_error_is_found_behind_others(number: int, tmp_path: Path) -> None:
    try:
        try:
            raise OSError(number, os.strerror(number), str(tmp_path / "file"))
        except OSError as error:
            raise RuntimeError("conversion failed") from error
    except RuntimeError as error:
        found = missing_space(error, ())
    assert found is not None and found.exit_code == 3
    assert f"{tmp_path / 'file'}: {os.strerror(number)}" in found.message


def test_a_text_of_a_library_with_the_systems_reason_counts(tmp_path: Path) -> None:
    error = RuntimeError('Io(Os { code: 28, message: "No space left on device" })')  # safetensors
    found = missing_space(error, (tmp_path,))
    assert found is not None
    assert f"{shutil.disk_usage(tmp_path).total / 2**30:.1f} GB on the disk" in found.message


def test_any_other_error_is_left_alone(tmp_path: Path) -> None:
    assert missing_space(RuntimeError("unexpected pos 64 vs 0"), (tmp_path,)) is None
    assert missing_space(FileNotFoundError(errno.ENOENT, "No such file"), (tmp_path,)) is None
    assert full_place((tmp_path, tmp_path / "nothing")) is None


FULL = """
import sys
from pathlib import Path
import numpy as np
from edgevit.core.disk import space, whole_files
from edgevit.core.errors import StorageError
place = Path(sys.argv[1])
source = place.parent / "source"

def numpy():
    with space.writing(place):
        np.save(place / "a.npy", np.zeros(4 << 20, np.uint8))  # an OSError without a number

def text():
    with space.writing(place):
        try:
            (place / "b").write_bytes(bytes(4 << 20))
        except OSError:
            raise RuntimeError("[enforce fail at inline_container.cc:743] . unexpected pos 64 vs 0")

for write in (numpy, text, lambda: whole_files.copy(source, place / "c")):
    try:
        write()
    except StorageError as error:
        print(error.message)
    for left in place.iterdir():
        left.unlink()
"""


def full_disk(folder: Path, prefix: list[str], code: str) -> list[str]:
    """Lines printed by `code` where `folder` is too small for 4 MB."""
    (folder.parent / "source").write_bytes(bytes(4 << 20))
    command = [*prefix, sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_every_writer_says_where_a_disk_is_full_and_how_full(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    mount = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=2m tmpfs "$4" && exec "$@"', "sh"]
    told = full_disk(tmp_path / "disk", mount, FULL)
    assert len(told) == 3
    for line in told:
        assert line.startswith(f"cannot write {tmp_path / 'disk'}")
        assert "No space left on device (" in line and "free of 2.0 MB" in line


def test_every_writer_says_that_files_may_not_be_so_large(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    told = full_disk(tmp_path / "disk", ["sh", "-c", 'ulimit -f 4096 && exec "$@"', "sh"], FULL)
    assert len(told) == 3
    for line in told:
        assert "File too large (files may have at most 2.0 MB here)" in line


def test_too_little_room_is_told_before_the_work(tmp_path: Path) -> None:
    require_space(tmp_path, 1, "the bundle")
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(
        StorageError, match=r"the bundle takes at least .* GB, but the disk of .* free"
    ) as caught:
        require_space(tmp_path, 2 * free + (1 << 30), "the bundle")
    assert "TMPDIR" in caught.value.hint


def test_a_name_that_is_impossible_is_not_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="File name too long"), storage_errors(tmp_path):
        (tmp_path / ("x" * 300)).write_text("")


def test_the_folders_that_a_step_writes_to_stand_in_its_request(tmp_path: Path) -> None:
    request = {"work": str(tmp_path), "folders": {"fp32": str(tmp_path / "gone")}, "model": "/etc"}
    assert written_by(request) == (tmp_path,)
    assert written_by({"work": "."}) == written_by({}) == ()
