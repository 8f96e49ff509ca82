"""`edgevit gate` through the command line: exit codes, what stands where, and that nothing is lost."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from bench._gate import drawn as d
from edgevit.validate.regression import images_for
from tests._command import ROOT, edgevit, without_progress

SHIPPED = d.a_model(np.random.default_rng(0), 2000)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gate")
    d.write(folder / "old", SHIPPED)
    done = edgevit("gate", folder / "old", "--save-baseline", folder / "base.json")
    assert done.returncode == 0 and not done.stdout and "commit it" in done.stderr
    assert SHIPPED.labels is not None
    random = np.random.default_rng(1)
    bad = d.changed(random, SHIPPED.files["tflite/w8a8"], SHIPPED.labels, 0.05, 0.002)
    d.write(folder / "bad", replace(SHIPPED, files={**SHIPPED.files, "tflite/w8a8": bad}, content="two"))
    return folder


def test_pass_regressed_and_the_document(place: Path, tmp_path: Path) -> None:
    same = edgevit(
        "gate", place / "old", "--baseline", place / "base.json", "-q", "--html", tmp_path / "a.html"
    )
    assert same.returncode == 0 and "gate passed" in same.stdout, same.stderr
    files = {
        name: tmp_path / name for name in ("junit.xml", "gate.md", "bench.json", "gate.html", "summary.md")
    }
    bad = edgevit(
        *("gate", place / "bad", "--baseline", place / "base.json", "--json", "-q"),
        *(
            "--junit-xml",
            files["junit.xml"],
            "--markdown",
            files["gate.md"],
            "--benchmark-json",
            files["bench.json"],
        ),
        *("--html", files["gate.html"]),
        GITHUB_ACTIONS="true",
        GITHUB_STEP_SUMMARY=files["summary.md"],
    )
    assert bad.returncode == 1
    data = json.loads(bad.stdout)
    jsonschema.validate(data, json.loads((ROOT / "edgevit" / "schemas" / "gate.schema.json").read_text()))
    closed = {check["subject"] for check in data["checks"] if check["outcome"] == "regressed"}
    assert closed == {"tflite/w8a8"} and data["outcome"] == "regressed" and data["exit_code"] == 1
    assert all(file.stat().st_size for file in files.values())
    assert files["summary.md"].read_text() == files["gate.md"].read_text()
    assert without_progress(bad.stderr).startswith("::error title=")


def test_the_page_goes_into_the_bundle_which_still_verifies(place: Path, tmp_path: Path) -> None:
    bundle = d.write(tmp_path / "new", SHIPPED)
    done = edgevit("gate", bundle, "--baseline", place / "base.json")
    assert done.returncode == 0 and (bundle / "gate.html").stat().st_size > 1000
    assert edgevit("verify", bundle).returncode == 0
    assert edgevit("gate", bundle, "--baseline", bundle, "-q").returncode == 0  # and again, as a baseline too


def test_updating_says_what_changed_and_a_read_only_place_keeps_the_old_file(
    place: Path, tmp_path: Path
) -> None:
    file = tmp_path / "locked" / "base.json"
    file.parent.mkdir()
    file.write_bytes((place / "base.json").read_bytes())
    if os.geteuid() != 0:  # root may write everywhere
        file.parent.chmod(0o500)
        done = edgevit("gate", place / "bad", "--baseline", file, "--update-baseline", "-q")
        assert done.returncode == 3 and file.read_bytes() == (place / "base.json").read_bytes()
        file.parent.chmod(0o700)
    done = edgevit(
        "gate", place / "bad", "--baseline", file, "--update-baseline", "-q", "--html", tmp_path / "x.html"
    )
    assert done.returncode == 0 and "tflite/w8a8" in done.stdout and "now holds" in done.stderr
    assert file.read_bytes() != (place / "base.json").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "the bundle is missing"),
        (("{old}",), "--baseline is missing"),
        (("{old}", "--baseline", "{old}", "--update-baseline"), "only a baseline file can be rewritten"),
        (("{old}", "--baseline", "{base}", "--save-baseline", "x.json"), "compares nothing"),
        (("{old}", "--save-baseline", "{base}"), "exists"),
        (("{old}", "--baseline", "{base}", "--max-drop", "lots"), "'lots' is no limit"),
        (("{old}", "--baseline", "{base}", "--accept", "everything"), "'everything' is unknown"),
        (("{old}", "--baseline", "nowhere.json"), "nowhere.json"),
        (("{old}", "--baseline", "{base}", "--policy", "none.toml"), "none.toml"),
        (("--plan-images", "0"), "is no percentage"),
        (("--plan-images", "1e-300"), "is no percentage"),
        (("{old}", "--baseline", "{base}", "--min-agreement", "150"), "no file agrees on 150 %"),
        (("{old}", "--baseline", "{base}", "--junit-xml", "{base}"), "would be written over the baseline"),
    ],
)
def test_what_cannot_be_done_is_told(place: Path, arguments: Sequence[str], says: str) -> None:
    given = [text.format(old=place / "old", base=place / "base.json") for text in arguments]
    done = edgevit("gate", *given)
    assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr


def test_images_are_planned_before_anybody_collects_them() -> None:
    done = edgevit("gate", "--plan-images", "0.5", "--discordance", "3", "--json")
    assert json.loads(done.stdout)["images"] == [{"discordance": 3.0, "images": images_for(0.005, 0.03)}]
