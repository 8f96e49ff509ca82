"""A converter that crashes, hangs or eats memory, Ctrl-C while it runs, and a disk that fills up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests._command import ROOT, command, edgevit, environment, without_progress

NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head = torch.nn.Conv2d(3, 8, 8, 8), torch.nn.Linear(8, 3)

    def forward(self, image):
        return self.head(self.stem(image).mean((2, 3)))
"""

# Python imports this before anything else: it takes the place of the step that converts to ONNX.
SITE = """
import json, os, pathlib, sys, tempfile, time

def crash():
    os.abort()

def hang():
    time.sleep(300)

def hog():
    kept = []
    while True:
        kept.append(b"x" * (64 << 20))
        time.sleep(0.01)

def misbehave(function, request):
    if function.endswith("build:build") and request["target"] == "onnx":
        tempfile.mkdtemp()
        here = pathlib.Path(__file__).parent
        (here / "pid").write_text(str(os.getpid()))
        (here / "begun").touch()
        globals()[os.environ["HOSTILE"]]()

name, server = "edgevit.core.process._child", "edgevit.core.process._server"
if name in sys.orig_argv:
    job = json.loads(pathlib.Path(sys.orig_argv[sys.orig_argv.index(name) + 1], "request.json").read_text())
    misbehave(job["function"], job["request"])
elif server in sys.orig_argv:
    from edgevit.core.process import _child
    called = _child._call

    def call(function, request, emit):
        misbehave(function, request)
        return called(function, request, emit)

    _child._call = call
"""


class Place:
    """A model, a converter that misbehaves, and an output that holds an earlier result."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out, self.scratch = folder, folder / "dist" / "out", folder / "scratch"
        for made in (self.out, self.scratch, folder / "site"):
            made.mkdir(parents=True)
        (folder / "net.py").write_text(NET)
        (folder / "site" / "sitecustomize.py").write_text(SITE)
        (self.out / "report.json").write_text("earlier")
        source = f"python:{folder / 'net.py'}:Net"
        self.arguments = (
            *("convert", source, "--random-weights", "0", "--image-size", "32", "--to", "onnx"),
            *("--precision", "fp32", "--overwrite", "-o", str(self.out)),
        )

    def changes(self, hostile: str) -> dict[str, Path | str]:
        return {"PYTHONPATH": self.folder / "site", "HOSTILE": hostile, "TMPDIR": self.scratch}

    def assert_nothing_left(self) -> None:
        assert (self.out / "report.json").read_text() == "earlier"
        assert [path.name for path in self.out.iterdir()] == ["report.json"]
        assert list(self.scratch.iterdir()) == []
        pid = (self.folder / "site" / "pid").read_text()
        stat = Path(f"/proc/{pid}/stat")
        assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize(
    ("hostile", "flags", "words"),
    [
        ("crash", (), "converting to onnx crashed: its process was ended by SIGABRT"),
        # A minute, most of it waiting; test_hostile_models.py has the limit, and a crash the same way out.
        pytest.param(
            *("hang", ("--timeout", "20"), "converting to onnx took longer than 20 s"),
            marks=pytest.mark.family,
        ),
        ("hog", ("--max-memory", "2"), "more than the limit of 2.00 GB"),
    ],
)
def test_converter_that_misbehaves_is_an_error_of_its_file_and_loses_nothing(
    hostile: str, flags: tuple[str, ...], words: str, place: Place
) -> None:
    done = edgevit(*place.arguments, *flags, "--json", **place.changes(hostile))
    assert done.returncode == 3, done.stderr
    (artifact,) = json.loads(done.stdout)["artifacts"]
    assert (artifact["verdict"], artifact["path"]) == ("error", None)
    assert len(artifact["reasons"]) == 1 and words in artifact["reasons"][0]
    assert "Traceback" not in done.stderr and "is left as it was" in done.stderr
    place.assert_nothing_left()
    # The earlier result stays, and what could be made, the report at least, stands beside it.
    assert sorted(path.name for path in place.out.parent.iterdir()) == ["out", "out.incomplete"]
    assert (place.out.parent / "out.incomplete" / "report.json").exists()


def test_ctrl_c_during_a_conversion_leaves_nothing_behind(place: Place) -> None:
    process = subprocess.Popen(
        command(*place.arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(**place.changes("hang")),
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not (place.folder / "site" / "begun").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    printed, told = process.communicate(timeout=30)
    assert process.returncode == 130 and printed == ""
    assert without_progress(told).startswith("error: interrupted") and "Traceback" not in told
    place.assert_nothing_left()
    assert [path.name for path in place.out.parent.iterdir()] == ["out"]


def test_full_disk_is_one_message_and_loses_nothing(tmp_path: Path) -> None:
    """A file system of its own with 64 kB for the output; test_faults.py has one for the temporary files."""
    for folder in ("dist", "scratch", "model"):
        (tmp_path / folder).mkdir()
    (tmp_path / "model" / "net.py").write_text(
        NET.replace("8, 8, 8", "64, 8, 8").replace("(8, 3)", "(64, 3)")
    )
    shell = """
        mount -t tmpfs -o size=64k none "$1" && mkdir -p "$2/out" && echo -n earlier > "$2/out/report.json"
        shift 2; "$@"; echo "code $?"
        cat dist/out/report.json; echo; find dist scratch -mindepth 1 | sort
    """
    source = f"python:{tmp_path / 'model' / 'net.py'}:Net"
    given = ("--random-weights", "0", "--image-size", "64", "--to", "onnx", "--precision", "fp32,fp16")
    wanted = command("convert", source, *given, "--overwrite", "-o", tmp_path / "dist" / "out")
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", shell, "sh", tmp_path / "dist", tmp_path / "dist", *wanted],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(PYTHONPATH=ROOT, TMPDIR=tmp_path / "scratch", PYTHONDONTWRITEBYTECODE="1"),
        timeout=300,
    )
    assert done.stdout.splitlines() == ["code 3", "earlier", "dist/out", "dist/out/report.json"]
    assert "the bundle takes at least" in done.stderr and " kB free" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error: ") == 1
