"""The folder of an output: refused before the work, swapped in whole, and never lost to another run."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgevit.core.disk import output_folder
from edgevit.core.errors import StorageError, UsageError
from edgevit.core.process import scratch
from edgevit.core.progress import Silent
from edgevit.flows._bundle import swap_in


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "file").write_text(text)
    return folder


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
from edgevit.core.disk.whole_files import write_atomic
from edgevit.core.disk.output_folder import check_output
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
        output_folder.check_output(final, overwrite=False)
    with pytest.raises(UsageError, match="not a bundle"):
        output_folder.check_output(final, overwrite=True)
    (final / "manifest.json").write_text("{}")
    output_folder.check_output(final, overwrite=True)
    assert (final / "file").read_text() == "old"


def test_output_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(UsageError, match="taken is not a folder"):
        output_folder.check_output(tmp_path / "taken" / "deeper" / "bundle", overwrite=False)
    assert (tmp_path / "taken").read_text() == "mine"


def test_place_that_the_system_has_no_folder_for_is_a_storage_error() -> None:
    with pytest.raises(StorageError, match="/proc/none/bundle"):
        output_folder.check_output(Path("/proc/none/bundle"), overwrite=False)


def test_output_that_holds_the_working_directory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "work", "mine")
    monkeypatch.chdir(tmp_path / "work")
    for place in (tmp_path, tmp_path / "work"):
        with pytest.raises(UsageError, match="replaced as a whole"):
            output_folder.check_output(place, overwrite=True)


def test_staged_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    final = fill(tmp_path / "bundle", "old")
    with output_folder.staged_beside(final) as staged:
        (staged / "other").write_text("new")
        assert staged.stat().st_dev == tmp_path.stat().st_dev
        output_folder.replace_dir(staged, final, overwrite=True)
    assert names(final) == ["other"]
    assert names(tmp_path) == ["bundle"]


def test_work_that_fails_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    final = fill(tmp_path / "bundle", "old")

    def work() -> None:
        with output_folder.staged_beside(final) as staged:
            (staged / "half").write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert names(tmp_path) == ["bundle"] and (final / "file").read_text() == "old"


def test_swap_without_overwrite_is_refused(tmp_path: Path) -> None:
    final, staged = fill(tmp_path / "bundle", "old"), fill(tmp_path / "staged", "new")
    with pytest.raises(UsageError, match="already exists"):
        output_folder.replace_dir(staged, final, overwrite=False)
    assert (final / "file").read_text() == "old"


def test_swap_that_the_system_refuses_restores_the_old_folder(tmp_path: Path) -> None:
    final = fill(tmp_path / "bundle", "old")
    with pytest.raises(StorageError, match="No such file"):
        output_folder.replace_dir(tmp_path / "never made", final, overwrite=True)
    assert (final / "file").read_text() == "old"
    assert names(tmp_path) == ["bundle"]


def test_symlink_is_replaced_and_its_goal_untouched(tmp_path: Path) -> None:
    goal, staged = fill(tmp_path / "goal", "precious"), fill(tmp_path / "staged", "new")
    (tmp_path / "bundle").symlink_to(goal)
    output_folder.replace_dir(staged, tmp_path / "bundle", overwrite=True)
    assert (goal / "file").read_text() == "precious"
    assert not (tmp_path / "bundle").is_symlink()


def test_the_file_of_somebody_is_not_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    for place in (tmp_path / "notes", Path("/dev/null")):
        with pytest.raises(UsageError, match="not a bundle"):
            output_folder.check_output(place, overwrite=True)


@pytest.mark.parametrize("name", ["x" * 300, "zero\0byte"])
def test_a_name_that_no_folder_can_have_is_a_usage_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be made"):
        output_folder.check_output(tmp_path / name, overwrite=False)


def finish(final: Path, overwrite: bool, text: str) -> str:
    """What one of several runs does at its end; the error's message, or nothing."""
    with output_folder.staged_beside(final) as staged:
        (staged / "file").write_text(text)
        (staged / "manifest.json").write_text(text)
        try:
            output_folder.place_or_keep(staged, final, overwrite)
        except UsageError as error:
            return error.message
    return ""


def test_of_runs_into_one_folder_the_first_wins_and_no_work_is_lost(tmp_path: Path) -> None:
    final = tmp_path / "bundle"
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda i: finish(final, False, str(i)), range(8)))
    assert told.count("") == 1
    assert (final / "file").read_text() == str(told.index(""))
    for index, message in enumerate(told):
        if message:
            assert message.startswith(f"{final} already exists")
            kept = Path(message.rpartition(" is in ")[2])
            assert (kept / "file").read_text() == (kept / "manifest.json").read_text() == str(index)
    assert len(names(tmp_path)) == 8


def test_of_runs_that_overwrite_one_folder_the_last_stands_whole(tmp_path: Path) -> None:
    final = tmp_path / "bundle"
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda i: finish(final, True, str(i)), range(12))) == {""}
    assert (final / "file").read_text() == (final / "manifest.json").read_text()
    assert names(tmp_path) == ["bundle"]


def test_a_bundle_with_errors_does_not_replace_what_another_run_left_there(tmp_path: Path) -> None:
    final = fill(tmp_path / "bundle", "first")
    bad = SimpleNamespace(artifacts=(SimpleNamespace(verdict="error"),))
    for name in ("bundle.incomplete", "bundle.incomplete-2"):
        with output_folder.staged_beside(final) as staged:
            (staged / "file").write_text("incomplete")
            assert swap_in(staged, bad, final, True, Silent()) == tmp_path / name  # type: ignore[arg-type]
    good = SimpleNamespace(artifacts=(SimpleNamespace(verdict="pass"),))
    with (
        output_folder.staged_beside(final) as staged,
        pytest.raises(UsageError, match=r"already exists.* is in .*bundle\.later") as caught,
    ):
        swap_in(staged, good, final, False, Silent())  # type: ignore[arg-type]
    assert caught.value.exit_code == 2
    assert (final / "file").read_text() == "first" and (tmp_path / "bundle.later").is_dir()


KILLED = """
import os, signal, sys
from pathlib import Path
from edgevit.core.disk import output_folder
from edgevit.core.process import scratch
final = Path(sys.argv[1])
with scratch.scratch() as folder, output_folder.staged_beside(final) as staged:
    (folder / "graph.pt2").write_bytes(bytes(100))
    (staged / "model.onnx").write_bytes(bytes(100))
    print(folder, staged.parent, flush=True)
    if len(sys.argv) > 2:
        sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_run_left_goes_with_the_next_one_and_what_a_living_one_has_stays(
    tmp_path: Path,
) -> None:
    final = tmp_path / "bundle"
    (tmp_path / "tmp").mkdir()
    start = [sys.executable, "-c", KILLED, str(final)]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    living = subprocess.Popen(
        [*start, "wait"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert living.stdout is not None
    alive = [Path(text) for text in living.stdout.readline().split()]
    killed = subprocess.run(start, capture_output=True, text=True, env=environment, timeout=60)
    left = [Path(text) for text in killed.stdout.split()]
    assert killed.returncode == -signal.SIGKILL and all(path.is_dir() for path in [*alive, *left])
    mine = tmp_path / "tmp" / "edgevit-mycheckout"  # a folder of the user's, named as ours are
    mine.mkdir()
    for clean in (
        lambda: scratch._sweep_once.__wrapped__(tmp_path / "tmp"),
        lambda: output_folder._recover(final),
    ):
        clean()
    assert not any(path.exists() for path in left)
    assert all(path.is_dir() for path in alive) and mine.is_dir()
    living.kill()
    living.wait(10)
    living.stdout.close()
    scratch._sweep_once.__wrapped__(tmp_path / "tmp")
    output_folder.check_output(final, overwrite=False)
    assert names(tmp_path) == ["tmp"] and names(tmp_path / "tmp") == ["edgevit-mycheckout"]


def dead_folder(path: Path) -> Path:
    path.mkdir()
    (path / scratch._MARK).write_text("1")
    return path


def test_only_folders_of_ours_that_nobody_holds_are_removed(tmp_path: Path) -> None:
    gone = dead_folder(tmp_path / "edgevit-aaaaaaaa")
    (tmp_path / "edgevit-bbbbbbbb").symlink_to(gone)
    os.chown(dead_folder(tmp_path / "edgevit-cccccccc"), 12345, 12345)  # tests run as root
    dead_folder(tmp_path / "edgevit-not-ours")
    (dead_folder(tmp_path / "edgevit-dddddddd") / scratch._MARK).write_text("")  # made, and not yet locked
    (dead_folder(tmp_path / "edgevit-eeeeeeee") / scratch._MARK).unlink()
    os.mkfifo(tmp_path / "edgevit-eeeeeeee" / scratch._MARK)
    with (dead_folder(tmp_path / "edgevit-ffffffff") / scratch._MARK).open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        scratch._sweep_once.__wrapped__(tmp_path)
    assert names(tmp_path) == [f"edgevit-{c * 8}" for c in "bcdef"] + ["edgevit-not-ours"]


def test_a_run_killed_between_two_renames_loses_no_bundle(tmp_path: Path) -> None:
    final = tmp_path / "bundle"
    fill(dead_folder(tmp_path / ".bundle.aaaaaaaa.old") / "bundle", "old")
    fill(dead_folder(tmp_path / ".bundle.bbbbbbbb.tmp") / "bundle", "half")
    fill(dead_folder(tmp_path / ".bundle.x.cccccccc.old") / "bundle.x", "another output's")
    with pytest.raises(UsageError, match="already exists"):
        output_folder.check_output(final, overwrite=False)
    assert (final / "file").read_text() == "old"
    assert names(tmp_path) == [".bundle.x.cccccccc.old", "bundle"]
