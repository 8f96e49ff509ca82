from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from edgevit.core import files
from edgevit.core.errors import InputError, StorageError, UsageError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "file").write_text(text)
    return folder


def test_digest_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert files.sha256_of(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_digest_of_a_folder_sees_names_bytes_and_their_borders(tmp_path: Path) -> None:
    for index, content in enumerate(
        [{"a": "xy", "b": "z"}, {"a": "x", "b": "yz"}, {"a": "xy", "c": "z"}, {"d/a": "xy", "b": "z"}]
    ):
        for name, text in content.items():
            path = tmp_path / str(index) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    assert len({files.sha256_of(tmp_path / str(index)) for index in range(4)}) == 4
    (tmp_path / "0").rename(tmp_path / "moved")
    (tmp_path / "same").mkdir()
    (tmp_path / "same" / "b").write_text("z")
    (tmp_path / "same" / "a").write_text("xy")
    assert files.sha256_of(tmp_path / "moved") == files.sha256_of(tmp_path / "same")


def test_size_of_a_folder_is_the_sum_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a").write_bytes(bytes(10))
    (tmp_path / "b").write_bytes(bytes(5))
    assert files.size_of(tmp_path) == 15
    assert files.size_of(tmp_path / "b") == 5


@pytest.mark.parametrize("ask", [files.sha256_of, files.size_of])
def test_missing_path_is_an_input_error(ask: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing"):
        ask(tmp_path / "nothing")  # type: ignore[operator]


def test_write_replaces_whole_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    files.write_atomic(path, "old")
    files.write_atomic(path, b"new")
    assert path.read_text() == "new"
    assert names(tmp_path) == ["report.json"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~files._umask()


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
from edgevit.core.files import write_atomic
try:
    write_atomic(Path(sys.argv[1]), bytes(100_000))
except StorageError as error:
    print(error.message)
"""
    assert "File too large" in run_limited(code, path, 4096)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["report.json"]


def in_read_only_folder(code: str, folder: Path) -> str:
    """Run code in a mount namespace of its own in which `folder` is read-only, for root too."""
    shell = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec "$2" -c "$3" "$1"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", shell, "sh", str(folder), sys.executable, code],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_read_only_place_is_a_storage_error_before_any_work(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from edgevit.core.errors import StorageError
from edgevit.core.files import check_output, write_atomic
for call in (lambda p: check_output(p, False), lambda p: write_atomic(p, "x")):
    try:
        call(Path(sys.argv[1]) / "bundle")
    except StorageError as error:
        print(error.message)
"""
    told = in_read_only_folder(code, tmp_path).splitlines()
    assert len(told) == 2 and all("Read-only file system" in line for line in told)
    assert names(tmp_path) == []


def test_existing_output_needs_overwrite(tmp_path: Path) -> None:
    final = fill(tmp_path / "bundle", "old")
    with pytest.raises(UsageError, match="already exists"):
        files.check_output(final, overwrite=False)
    with pytest.raises(UsageError, match="not a bundle"):
        files.check_output(final, overwrite=True)
    (final / "manifest.json").write_text("{}")
    files.check_output(final, overwrite=True)
    assert (final / "file").read_text() == "old"


def test_output_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(UsageError, match="taken is not a folder"):
        files.check_output(tmp_path / "taken" / "deeper" / "bundle", overwrite=False)
    assert (tmp_path / "taken").read_text() == "mine"


def test_place_that_the_system_has_no_folder_for_is_a_storage_error() -> None:
    with pytest.raises(StorageError, match="/proc/none/bundle"):
        files.check_output(Path("/proc/none/bundle"), overwrite=False)


def test_output_that_holds_the_working_directory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "work", "mine")
    monkeypatch.chdir(tmp_path / "work")
    for place in (tmp_path, tmp_path / "work"):
        with pytest.raises(UsageError, match="replaced as a whole"):
            files.check_output(place, overwrite=True)


def test_staged_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    final = fill(tmp_path / "bundle", "old")
    with files.staged_beside(final) as staged:
        (staged / "other").write_text("new")
        assert staged.parent == final.parent
        files.replace_dir(staged, final, overwrite=True)
    assert names(final) == ["other"]
    assert names(tmp_path) == ["bundle"]


def test_work_that_fails_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    final = fill(tmp_path / "bundle", "old")
    with pytest.raises(KeyboardInterrupt), files.staged_beside(final) as staged:
        (staged / "half").write_text("new")
        raise KeyboardInterrupt
    assert names(tmp_path) == ["bundle"] and (final / "file").read_text() == "old"


def test_swap_without_overwrite_is_refused(tmp_path: Path) -> None:
    final, staged = fill(tmp_path / "bundle", "old"), fill(tmp_path / "staged", "new")
    with pytest.raises(UsageError, match="already exists"):
        files.replace_dir(staged, final, overwrite=False)
    assert (final / "file").read_text() == "old"


def test_swap_that_the_system_refuses_restores_the_old_folder(tmp_path: Path) -> None:
    final = fill(tmp_path / "bundle", "old")
    with pytest.raises(StorageError, match="No such file"):
        files.replace_dir(tmp_path / "never made", final, overwrite=True)
    assert (final / "file").read_text() == "old"
    assert names(tmp_path) == ["bundle"]


def test_symlink_is_replaced_and_its_goal_untouched(tmp_path: Path) -> None:
    goal, staged = fill(tmp_path / "goal", "precious"), fill(tmp_path / "staged", "new")
    (tmp_path / "bundle").symlink_to(goal)
    files.replace_dir(staged, tmp_path / "bundle", overwrite=True)
    assert (goal / "file").read_text() == "precious"
    assert not (tmp_path / "bundle").is_symlink()
