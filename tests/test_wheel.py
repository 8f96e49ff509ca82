"""What a user gets from `pip install`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PACKAGES = ("edgevit", "converters", "calibration")


@pytest.fixture(scope="module")
def names(root: Path, tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    """Names in a wheel that was built from a copy, so that the checkout stays as it is."""
    copy = tmp_path_factory.mktemp("wheel") / "source"
    copy.mkdir()
    for package in PACKAGES:
        shutil.copytree(root / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / file, copy / file)
    # What must stay out although it lies beside the packages.
    (copy / "tests").mkdir()
    (copy / "tests" / "__init__.py").touch()
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(copy / "out"),
        str(copy),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (wheel,) = (copy / "out").glob("edgevit-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return frozenset(archive.namelist())


def test_top_level_names_are_the_three_packages(names: frozenset[str]) -> None:
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == set(PACKAGES)


def test_every_module_and_asset_is_in_it(names: frozenset[str], root: Path) -> None:
    expected = {
        path.relative_to(root).as_posix()
        for package in PACKAGES
        for path in (root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name != "README.md"
    }
    assert "edgevit/py.typed" in expected
    assert expected - names == set()


def test_licence_is_in_it(names: frozenset[str]) -> None:
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
