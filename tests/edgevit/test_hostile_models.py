"""A model that crashes, hangs or eats memory, Ctrl-C, and a place that cannot be written: nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

MODEL = """
import os, pathlib, time
here = pathlib.Path(__file__).parent
(here / "pid").write_text(str(os.getpid()))

def crash():
    os.abort()

def hang():
    (here / "hangs").touch()
    time.sleep(120)

def hog():
    kept = []
    while True:
        kept.append(b"x" * (64 << 20))
        time.sleep(0.02)

"""


def command(folder: Path, factory: str, *flags: str) -> list[str]:
    (folder / "net.py").write_text(MODEL)
    source = f"python:{folder / 'net.py'}:{factory}"
    return [
        sys.executable,
        "-m",
        "edgevit",
        "convert",
        source,
        "--to",
        "onnx",
        "--preprocess",
        "normalize=imagenet",
        "-o",
        str(folder / "out"),
        *flags,
    ]


def earlier_bundle(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "report.json").write_text("earlier")


def assert_untouched(folder: Path) -> None:
    assert [path.name for path in (folder / "out").iterdir()] == ["report.json"]
    assert (folder / "out" / "report.json").read_text() == "earlier"
    left = {path.name for path in folder.iterdir()} - {"net.py", "pid", "hangs", "__pycache__"}
    assert left == {"out"}


def is_running(folder: Path) -> bool:
    try:
        stat = Path(f"/proc/{(folder / 'pid').read_text()}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    ("factory", "flags", "words"),
    [
        ("crash", (), "SIGABRT"),
        ("hang", ("--timeout", "6"), "took longer than 6 s"),
        ("hog", ("--max-memory", "0.6"), "more than the limit of 0.60 GB"),
    ],
)
def test_model_that_misbehaves_ends_with_one_message_and_loses_nothing(
    factory: str, flags: tuple[str, ...], words: str, root: Path, tmp_path: Path
) -> None:
    earlier_bundle(tmp_path)
    done = subprocess.run(
        command(tmp_path, factory, "--overwrite", *flags),
        capture_output=True,
        text=True,
        cwd=root,
        timeout=120,
    )
    assert done.returncode in (2, 3) and done.stdout == ""
    assert words in done.stderr and "Traceback" not in done.stderr and "error: " in done.stderr
    assert not is_running(tmp_path)
    assert_untouched(tmp_path)


def test_ctrl_c_leaves_with_130_and_everything_as_it_was(root: Path, tmp_path: Path) -> None:
    earlier_bundle(tmp_path)
    process = subprocess.Popen(
        command(tmp_path, "hang", "--overwrite"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=root,
    )
    deadline = time.monotonic() + 90
    while not (tmp_path / "hangs").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    printed, told = process.communicate(timeout=30)
    assert process.returncode == 130 and printed == ""
    assert "error: interrupted" in told and "Traceback" not in told
    assert not is_running(tmp_path)
    assert_untouched(tmp_path)


def test_existing_output_is_refused_before_the_model_is_touched(root: Path, tmp_path: Path) -> None:
    earlier_bundle(tmp_path)
    done = subprocess.run(command(tmp_path, "hang"), capture_output=True, text=True, cwd=root, timeout=60)
    assert done.returncode == 2 and "--overwrite" in done.stderr
    assert not (tmp_path / "pid").exists()
    assert_untouched(tmp_path)


def test_read_only_place_is_refused_before_the_model_is_touched(root: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "place").mkdir()
    # A mount of its own: for root, permissions prove nothing.
    shell = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
    wanted = [*command(tmp_path / "model", "hang"), "-o", str(tmp_path / "place" / "out")]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", shell, "sh", str(tmp_path / "place"), *wanted],
        capture_output=True,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        timeout=60,
    )
    assert done.returncode == 3 and "Read-only file system" in done.stderr
    assert not (tmp_path / "model" / "pid").exists()
