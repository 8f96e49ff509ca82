"""What all tests share."""

from __future__ import annotations

import importlib.util
import os
import signal
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from edgevit.core.require import require

# Small models and several processes: more threads than one spend their time waiting for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# A shell that starts the tests in the background makes them, and their children, deaf to Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
if importlib.util.find_spec("tensorflow") is not None:
    require("coremltools", "coreml")  # before a test module imports it and TensorFlow with it, which crashes


# The bundles of tests/edgevit/flows: converted once, so every test that asks for one goes to one process.
BUNDLES = {"converted", "demo", "vit"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For several processes (`-n 2 --dist loadgroup`): a file stays together, and so does who shares a bundle."""
    for item in items:
        shared = BUNDLES & {*getattr(item, "fixturenames", ())}
        item.add_marker(pytest.mark.xdist_group("bundles" if shared else str(item.path)))


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def heavy(root: Path) -> frozenset[str]:
    """Packages that no module of ours may import at module level; the linter has the list."""
    settings = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    return frozenset(settings["flake8-tidy-imports"]["banned-module-level-imports"])


@pytest.fixture(scope="session")
def photographs() -> tuple[Path, ...]:
    """Two colour photographs of 640x427 pixels, JPEG files that come with scikit-learn."""
    installed = metadata.distribution("scikit-learn")
    names = ("china.jpg", "flower.jpg")
    return tuple(Path(str(installed.locate_file(f"sklearn/datasets/images/{name}"))) for name in names)
