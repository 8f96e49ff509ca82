"""The examples are run as their READMEs and cells say."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests._command import command, edgevit, environment
from tests.docs._pages import commands


def shown(page: Path) -> list[str]:
    """The first command of a README, word by word."""
    return shlex.split(commands(page)[0])


def test_a_model_of_one_s_own(root: Path, tmp_path: Path) -> None:
    words = shown(root / "examples" / "own_model" / "README.md")
    done = edgevit(*words[:-1], tmp_path / "own", "--json")  # the last word is the place
    assert done.returncode == 0, done.stderr
    (artifact,) = json.loads(done.stdout)["artifacts"]
    assert artifact["verdict"] == "pass" and artifact["total"]["sqnr_db"] > 80


@pytest.mark.family
def test_a_folder_of_transformers(root: Path, tmp_path: Path) -> None:
    script = root / "examples" / "hf_folder" / "make_folder.py"
    subprocess.run(
        [sys.executable, script, "my-model"], cwd=tmp_path, check=True, env=environment(), timeout=300
    )
    words = shown(script.with_name("README.md"))
    ran = {"capture_output": True, "text": True, "cwd": tmp_path, "timeout": 600}
    done = subprocess.run([*command(*words), "--json"], env=environment(PYTHONPATH=root), **ran)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["model"]["labels"] == 3 and report["model"]["preprocess"]["mean"] == [0.5, 0.5, 0.5]
    assert [artifact["verdict"] for artifact in report["artifacts"]] == ["pass"]


@pytest.mark.family
def test_the_cells_of_the_notebook(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((root / "examples" / "notebook" / "first_conversion.ipynb").read_text())
    names: dict[str, object] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)  # as a kernel does
    (artifact,) = names["report"].artifacts
    assert artifact.verdict == "pass" and names["found"].exit_code == 0
    assert {entry["label"] for entry in names["answer"].data["images"][0]["classes"]} == {"cat", "dog", "fox"}
