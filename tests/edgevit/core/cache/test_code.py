"""What results depend on besides what was asked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgevit.core.cache import code


def _facts(folder: Path, **environment: str) -> str:
    program = (
        "import json; from edgevit.core.cache.code import code_facts; "
        "print(json.dumps(code_facts(), sort_keys=True))"
    )
    root = Path(code.__file__).parents[3]
    found = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin", "PYTHONPATH": f"{root}:{folder}", **environment},
    )
    return found.stdout


def test_two_processes_agree(tmp_path: Path) -> None:
    quiet = {"HOME": "/elsewhere", "EDGEVIT_CACHE": "x", "EDGEVIT_CACHE_GB": "3", "KMP_INIT_AT_FORK": "FALSE"}
    assert _facts(tmp_path) == _facts(tmp_path, **quiet)


def test_a_variable_that_changes_results_counts(tmp_path: Path) -> None:
    assert _facts(tmp_path) != _facts(tmp_path, ORT_DISABLE_ALL="1")


def test_a_package_that_is_installed_later_counts(tmp_path: Path) -> None:
    before = _facts(tmp_path)
    (tmp_path / "thing-1.0.dist-info").mkdir()
    between = _facts(tmp_path)
    (tmp_path / "thing-1.0.dist-info").rename(tmp_path / "thing-1.1.dist-info")
    assert len({before, between, _facts(tmp_path)}) == 3


def test_the_source_of_a_plugin_counts_though_its_version_stays(tmp_path: Path) -> None:
    info = tmp_path / "thing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edgevit.targets]\nthing = thing.target:TARGET\n")
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing" / "__init__.py").write_text("")
    (tmp_path / "thing" / "target.py").write_text("TARGET = 1\n")
    before = _facts(tmp_path)
    (tmp_path / "thing" / "target.py").write_text("TARGET = 2\n")
    assert before != _facts(tmp_path)


def test_sources_count_by_name_and_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "a.py").write_text("x = 1")
    first = code._digest([("package", package)])
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "a.pyc").write_bytes(b"anything")
    assert code._digest([("package", package)]) == first
    (package / "a.py").write_text("x = 2")
    assert code._digest([("package", package)]) != first
