"""The cache: the same bytes with it and without it, nothing computed twice, and nothing believed that is damaged."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgevit.core.cache.memory import OFF, Memory, Remembered
from edgevit.core.cache.place import FORMAT
from edgevit.core.cache.store import entries
from edgevit.core.disk.documents import read_json
from edgevit.core.errors import StepError, UsageError
from edgevit.core.progress import Silent
from edgevit.core.results.report import Report
from edgevit.core.settings.recipe import Recipe
from edgevit.core.types import ModelSpec, Preprocess
from edgevit.flows._remember import OfPrepare, open_memory
from edgevit.flows.convert import convert
from edgevit.flows.make_recipe import make
from edgevit.steps.messages import Prepared, PrepareRequest
from edgevit.validate.verdict import exit_code
from tests._command import steps_forked
from tests.edgevit.flows._tiny import NETS, settings_of, write_model


class Told(Silent):
    """What a run tells."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def stage(self, name: str, total: int | None = None) -> None:
        self.stages.append(name)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    @property
    def taken(self) -> str:
        return next((text for text in self.notes if text.startswith("taken from the cache")), "")


@dataclass(frozen=True, slots=True)
class Made:
    """The tiny model, converted without a cache and with an empty one."""

    folder: Path
    off: Report
    cold: Report
    told: Told


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = write_model(tmp_path_factory.mktemp("cache"))
    off, _ = run(folder, "off", "off")
    cold, told = run(folder, "cold")
    return Made(folder, off, cold, told)


@pytest.fixture
def folder(made: Made, tmp_path: Path) -> Iterator[Path]:
    """The same folder with the cache as the first run left it."""
    shutil.copytree(made.folder / "cache", tmp_path / "cache")
    before = {path.name for path in made.folder.iterdir()}
    texts = {name: (made.folder / name).read_bytes() for name in ("nets.py", "images.npz")}
    yield made.folder
    for path in made.folder.iterdir():
        if path.name not in before:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, content in texts.items():
        (made.folder / name).write_bytes(content)
    shutil.rmtree(made.folder / "cache")
    shutil.move(tmp_path / "cache", made.folder / "cache")


def run(folder: Path, name: str, cache: str | Path = "cache", **changes: Any) -> tuple[Report, Told]:
    """Convert the tiny model."""
    told = Told()
    place = cache if cache == "off" else str(folder / cache)
    settings = settings_of(folder, evaluate=str(folder / "other.npz"), output=str(folder / name), cache=place)
    with steps_forked():
        return convert(make({**settings, **changes}), told), told


def files(folder: Path) -> dict[str, str]:
    """Name -> digest of the model files of a bundle, and of its plan."""
    found = (
        p for p in folder.rglob("*") if p.is_file() and p.name.startswith(("model.", "plan.safetensors"))
    )
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


def judged(report: Report) -> list[Any]:
    """What a report says of each file, but for what is measured anew."""
    return [replace(artifact, latency=None, notes=()) for artifact in report.artifacts]


def test_hot_cold_and_off_give_the_same_bytes_and_the_same_verdicts(made: Made, folder: Path) -> None:
    assert not made.told.taken
    hot, told = run(folder, "hot")
    assert files(folder / "off") == files(folder / "cold") == files(folder / "hot") != {}
    assert judged(made.off) == judged(made.cold) == judged(hot)
    assert "reference" in told.taken and "built" in told.taken and "executed" in told.taken
    assert not {"converting", "executing every file", "calibrating"} & set(told.stages)
    assert "timing onnx with onnxruntime" in told.stages  # latency is never taken from the cache
    document = read_json(folder / "hot" / "report.json", "report")
    assert document["artifacts"][0]["latency"]["runs"]  # type: ignore[index]


@pytest.mark.family
def test_one_more_precision_costs_itself(folder: Path) -> None:
    alone, _ = run(folder, "alone", "off", precision="w8a8,w8da8")
    both, told = run(folder, "both", precision="w8a8,w8da8")
    assert files(folder / "both") == files(folder / "alone")
    assert judged(both) == judged(alone)
    assert "plan" in told.taken and "2 built" in told.taken  # w8a8, and fp32 beside it


def test_a_limit_that_changes_costs_the_report_alone(folder: Path) -> None:
    report, told = run(folder, "second", min_sqnr=199.0)
    assert {artifact.verdict for artifact in report.artifacts} == {"fail"}
    assert not {"converting", "executing every file", "calibrating"} & set(told.stages)


@pytest.mark.family
def test_code_of_the_user_that_changes_is_run(folder: Path) -> None:
    """A branch that torch.export does not take leaves the graph as it was; the reference comes from the module."""
    branch = "        if not __import__('torch').compiler.is_exporting(): image = image * FACTOR\n"
    text = NETS.replace("forward(self, image):\n", f"forward(self, image):\n{branch}")
    (folder / "nets.py").write_text("FACTOR = 1\n" + text)
    quick: dict[str, Any] = {"precision": "fp16", "calibrate": None}
    first, _ = run(folder, "first", **quick)
    (folder / "nets.py").write_text("FACTOR = 3\n" + text)
    second, told = run(folder, "second", **quick)
    assert "reference" not in told.taken
    totals = [report.artifacts[0].total for report in (first, second)]
    assert totals[0] is not None and totals[1] is not None
    assert totals[0].sqnr_db > totals[1].sqnr_db + 10


@pytest.mark.family
@pytest.mark.parametrize("what", ["images", "seed", "weights"])
def test_what_is_different_is_not_taken_for_the_same(folder: Path, what: str) -> None:
    changes: dict[str, Any] = (
        {"seed": 1} if what == "seed" else {"random_weights": 1} if what == "weights" else {}
    )
    if what == "images":
        np.savez(
            folder / "images.npz",
            images=np.random.default_rng(9).integers(0, 256, (64, 16, 16, 3), np.uint8),
            labels=np.arange(64) % 4,
        )
    changed, _ = run(folder, "second", **changes)
    fresh, _ = run(folder, "fresh", "off", **changes)
    assert files(folder / "second") == files(folder / "fresh")
    assert judged(changed) == judged(fresh)


def test_damaged_entries_are_made_again_with_a_word(made: Made, folder: Path) -> None:
    for entry in entries(folder / "cache" / FORMAT):
        for path in (entry.place / "files").rglob("*"):
            if path.is_file():
                path.write_bytes(path.read_bytes()[:-3] + b"bad")
    second, told = run(folder, "second")
    assert any("an entry of the cache was damaged" in text for text in (*told.warnings, *told.notes))
    assert files(folder / "second") == files(folder / "cold")
    assert judged(second) == judged(made.cold)
    assert "taken from" not in "".join(told.notes)


@pytest.mark.family
def test_a_run_that_was_killed_goes_on_where_it_was(folder: Path) -> None:
    shutil.rmtree(folder / "cache")
    arguments = [
        *("convert", f"python:{folder / 'nets.py'}:Net", "--random-weights", "0", "--image-size", "16"),
        *("--to", "onnx", "--precision", "w8a8", "--calibration-count", "64"),
        *("--calibrate", str(folder / "images.npz"), "--evaluate", str(folder / "other.npz")),
        *("--cache", str(folder / "cache"), "-o"),
    ]
    command = [sys.executable, "-m", "edgevit", *arguments]
    process = subprocess.Popen(
        [*command, str(folder / "killed")], start_new_session=True, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 120
    while (
        not any(entry.kind == "plan" for entry in entries(folder / "cache" / FORMAT))
        and time.monotonic() < end
    ):
        assert process.poll() is None, "ended before it could be killed"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / "killed").exists()
    done = subprocess.run([*command, str(folder / "again")], capture_output=True, text=True, check=False)
    taken = next(line for line in done.stderr.splitlines() if "taken from the cache" in line)
    assert "reference" in taken and "plan" in taken
    assert files(folder / "again") == files(folder / "off")


def test_a_place_that_cannot_be_used_is_refused_before_any_work(folder: Path) -> None:
    (folder / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be used"):
        run(folder, "out", "file")
    assert not (folder / "out").exists()


def test_the_usual_place_that_cannot_be_used_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEVIT_CACHE", str(tmp_path / "file"))
    told = Told()
    memory = open_memory(Recipe(model="demo"), told)
    assert not memory.remembered.folder
    assert any("nothing is kept for the next run" in text for text in told.notes)


# Code of the user's runs in the step that plans, and so it can break the planning of one precision.
BROKEN = """
import os
from edgevit.quant import plan
make = plan.make_plans

def broken(graph, stats, images, backends, *rest):
    if any(backend.precision == "w8da8" for backend in backends):
        {}
    return make(graph, stats, images, backends, *rest)

plan.make_plans = broken
"""


@pytest.mark.parametrize(
    ("fault", "left"),
    [
        ("raise ValueError('no scale')", ("fp16", "w8a8")),
        pytest.param("os._exit(7)", ("fp16",), marks=pytest.mark.family),
    ],
)
def test_a_precision_that_cannot_be_planned_does_not_take_the_others_with_it(
    folder: Path, fault: str, left: tuple[str, ...]
) -> None:
    (folder / "nets.py").write_text(NETS + BROKEN.format(fault))
    report, told = run(folder, "less", precision="fp16,w8a8,w8da8")
    judged_as = {artifact.precision.value: artifact.verdict for artifact in report.artifacts}
    assert {name for name, verdict in judged_as.items() if verdict == "pass"} == set(left)
    assert {name for name, verdict in judged_as.items() if verdict == "error"} == {
        "fp16",
        "w8a8",
        "w8da8",
    } - set(left)
    assert exit_code(artifact.verdict for artifact in report.artifacts) == 3
    reason = next(a.reasons[0] for a in report.artifacts if a.precision.value == "w8da8")
    assert reason.startswith("its plan could not be made: preparing")
    assert any("going on without" in text for text in told.warnings)
    assert {path.parent.name for path in (folder / "less").rglob("model.onnx")} == set(left)


def test_where_nothing_would_be_left_the_error_says_how_to_go_on(folder: Path) -> None:
    (folder / "nets.py").write_text(NETS + BROKEN.format("raise ValueError('no scale')"))
    with pytest.raises(StepError, match="no scale") as caught:
        run(folder, "none", precision="w8da8")
    assert "the same command goes on where this one stopped" in caught.value.hint
    assert not (folder / "none").exists()


def test_pipes_and_devices_are_not_read_for_a_key(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for weights in (tmp_path / "pipe", Path("/dev/zero"), tmp_path / "missing"):
        wanted = Recipe(model="timm:vit_tiny_patch16_224", weights=weights)
        memory = Memory(Remembered(str(tmp_path), "facts"), lambda text: None)
        assert OfPrepare(memory, PrepareRequest(work=str(tmp_path), recipe=wanted)).find() is None


def test_a_file_that_changed_while_it_was_prepared_leaves_nothing(tmp_path: Path) -> None:
    """A checkpoint of a training that goes on: the step may have read what came after the digest."""
    weights, work = tmp_path / "w.pt", tmp_path / "work"
    recipe = Recipe(model="timm:vit_tiny_patch16_224", weights=weights, cache=str(tmp_path / "cache"))
    spec = ModelSpec("net", "net", Preprocess(8, 8, (8, 8)), (), (), "", 0)
    prepared = Prepared(spec, 0, (), None, None, 0, False, 0, "base.npz", None, ())
    for after, kept in (("first", True), ("second", False)):
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        weights.write_text("first")
        memory = open_memory(recipe, Silent())
        wanted = OfPrepare(memory, PrepareRequest(work=str(work), recipe=recipe))
        weights.write_text(after)
        wanted.keep(prepared)
        assert bool(list(entries(Path(memory.remembered.folder)))) is kept


def test_a_model_has_a_part_of_its_own_and_without_one_nothing_is_kept(tmp_path: Path) -> None:
    """What a hostile step claims of its graph is never a key of another model."""
    model, told = tmp_path / "model.pt2", Told()
    wanted = Recipe(model=str(model), cache=str(tmp_path / "cache"))
    model.write_bytes(b"hostile")
    hostile = open_memory(wanted, told).remembered
    assert open_memory(wanted, told).remembered == hostile
    model.write_bytes(b"honest")
    honest = open_memory(wanted, told).remembered
    assert honest.folder != hostile.folder and honest.facts != hostile.facts
    Path(honest.folder).rmdir()
    Path(honest.folder).write_text("a file")
    assert open_memory(wanted, told).remembered == OFF
    assert any("nothing is kept for the next run" in text for text in told.notes)


def test_an_entry_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    told: list[str] = []
    (tmp_path / "plan").write_text("a file where a folder should be")
    memory = Memory(Remembered(str(tmp_path), "facts"), told.append)
    for number in range(2):
        memory.keep("plan", {"n": number}, {"values": tmp_path / "plan"})
    assert len(told) == 1 and told[0].startswith("the cache is written no more")
