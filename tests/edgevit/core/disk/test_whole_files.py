from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from edgevit.core.disk import whole_files
from edgevit.core.errors import InputError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "file").write_text(text)
    return folder


def test_digest_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert whole_files.sha256_of(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_digest_of_a_folder_sees_names_bytes_and_their_borders(tmp_path: Path) -> None:
    for index, content in enumerate(
        [{"a": "xy", "b": "z"}, {"a": "x", "b": "yz"}, {"a": "xy", "c": "z"}, {"d/a": "xy", "b": "z"}]
    ):
        for name, text in content.items():
            path = tmp_path / str(index) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    assert len({whole_files.sha256_of(tmp_path / str(index)) for index in range(4)}) == 4
    (tmp_path / "0").rename(tmp_path / "moved")
    (tmp_path / "same").mkdir()
    (tmp_path / "same" / "b").write_text("z")
    (tmp_path / "same" / "a").write_text("xy")
    assert whole_files.sha256_of(tmp_path / "moved") == whole_files.sha256_of(tmp_path / "same")


def test_size_of_a_folder_is_the_sum_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a").write_bytes(bytes(10))
    (tmp_path / "b").write_bytes(bytes(5))
    assert whole_files.size_of(tmp_path) == 15
    assert whole_files.size_of(tmp_path / "b") == 5


@pytest.mark.parametrize("ask", [whole_files.sha256_of, whole_files.size_of])
def test_missing_path_is_an_input_error(ask: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing"):
        ask(tmp_path / "nothing")  # type: ignore[operator]


def test_write_replaces_whole_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    whole_files.write_atomic(path, "old")
    whole_files.write_atomic(path, b"new")
    assert path.read_text() == "new"
    assert names(tmp_path) == ["report.json"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~whole_files.umask()


def run_limited(code: str, path: Path, limit: int) -> str:
    """Run code in a process whose files end at `limit` bytes: a full disk that root feels too."""
    limited = f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", limited, str(path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_full_disk_keeps_the_old_file_and_removes_the_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    code = """
import sys
from pathlib import Path
from edgevit.core.errors import StorageError
from edgevit.core.disk.whole_files import write_atomic
try:
    write_atomic(Path(sys.argv[1]), bytes(100_000))
except StorageError as error:
    print(error.message)
"""
    assert "File too large" in run_limited(code, path, 4096)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["report.json"]
