"""Faults of the machine and of its user, through the command line: each ends in a sentence and leaves nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from tests._command import ROOT, command, edgevit, environment
from tests.edgevit.core.process.test_worker import wait_until_gone
from tests.edgevit.runtimes.litert._tflite_files import swollen

NET = """
from torch import nn

def net():
    return nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.Flatten(), nn.Linear(128, 4096), nn.Linear(4096, 10))
"""
HANG = """
import os, subprocess, sys, time
from pathlib import Path
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
Path("PIDS").write_text(f"{os.getpid()} {other.pid} ")
time.sleep(60)
"""


def convert(folder: Path, *more: str) -> list[str]:
    flags = ("--image-size", "32", "--preprocess", "normalize=0..1", "--to", "onnx", "--precision", "fp32")
    return command(
        "convert", f"python:{folder / 'net.py'}:net", *flags, "-o", folder / "out" / "bundle", *more
    )


def test_full_disk_while_preparing_says_where_and_how_much(tmp_path: Path) -> None:
    """PyTorch ends the process there, from a destructor, and says nothing of space."""
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "tmp").mkdir()
    mount = 'mount -t tmpfs -o size=1500k tmpfs "$TMPDIR" && exec "$@"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mount, "sh", *convert(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(TMPDIR=tmp_path / "tmp"),
        timeout=300,
    )
    assert done.returncode == 3, done.stderr
    assert "No space left on device (" in done.stderr and "free of 1.5 MB on the disk of" in done.stderr
    assert "hint: free some space, or set TMPDIR to a folder with more" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_a_second_ctrl_c_ends_the_same_way_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(HANG.replace("PIDS", str(tmp_path / "pids")))
    (tmp_path / "tmp").mkdir()
    running = subprocess.Popen(
        convert(tmp_path),
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(TMPDIR=tmp_path / "tmp"),
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "pids").exists() or (tmp_path / "pids").read_text().count(" ") < 2:
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.05)
    while running.poll() is None and time.monotonic() < deadline:
        running.send_signal(signal.SIGINT)
        time.sleep(0.01)
    told = running.communicate()[1]
    assert running.returncode == 130
    assert told.endswith("error: interrupted: nothing was changed\n") and "Traceback" not in told
    assert wait_until_gone([int(pid) for pid in (tmp_path / "pids").read_text().split()])
    assert list((tmp_path / "tmp").iterdir()) == list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("streams", "code", "words"),
    [
        ("list --json >/dev/full", 3, "cannot write to stdout: No space left on device"),
        ("list >/dev/full", 3, "cannot write to stdout: No space left on device"),
        ("list >&-", 0, ""),
        ("list nothing --json <&- >&- 2>&-", 2, ""),
    ],
)
def test_streams_that_are_full_or_closed(streams: str, code: int, words: str) -> None:
    shell = f'exec "$0" -m edgevit {streams}'
    done = subprocess.run(
        ["sh", "-c", shell, sys.executable], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.returncode == code, done.stderr
    assert words in done.stderr and "bug" not in done.stderr and "Traceback" not in done.stdout


def test_a_small_file_that_takes_gigabytes_is_told_as_its_fault(tmp_path: Path) -> None:
    from edgevit.core.types import Preprocess
    from edgevit.formats import preprocess_json

    text = preprocess_json.dumps(Preprocess(2, 2, (2, 2)), "NHWC")
    path = swollen(tmp_path / "big.tflite", 3000, {"edgevit.preprocess": text.encode()})
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    done = edgevit("run", path, tmp_path / "a.png", "--max-memory", "0.5", "--timeout", "100")
    assert path.stat().st_size < 4096
    assert done.returncode == 3, done.stderr
    assert "more than the limit of 0.50 GB" in done.stderr
    assert f"the file {path} makes its runtime take that much" in done.stderr
    assert "take the file from its source anew" in done.stderr


def test_a_working_directory_that_is_gone_is_told(tmp_path: Path) -> None:
    shell = 'cd "$1" && rmdir "$1" && exec "$0" -m edgevit inspect demo'
    gone = tmp_path / "gone"
    gone.mkdir()
    done = subprocess.run(
        ["sh", "-c", shell, sys.executable, gone],
        capture_output=True,
        text=True,
        env=environment(PYTHONPATH=ROOT),
        timeout=60,
    )
    assert done.returncode == 2
    assert "the working directory is gone" in done.stderr


def test_a_threshold_that_is_no_number_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    done = edgevit("diff", tmp_path / "model.onnx", "--reference", "demo", "--threshold", "nan")
    assert done.returncode == 2 and "--threshold nan is out of range" in done.stderr
