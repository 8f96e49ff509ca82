"""What all tests share."""

from __future__ import annotations

import gc
import importlib.util
import os
import signal
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from edgevit.core.require import require

# Small models and several processes: more threads than one spend their time waiting for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# What a test executes is made by the code under test, not by an earlier run; tests of the cache name their own.
os.environ["EDGEVIT_CACHE"] = "off"
_given = importlib.import_module("tests._given")  # now: what is set from here on is a library's
# A shell that starts the tests in the background makes them, and their children, deaf to Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
if importlib.util.find_spec("tensorflow") is not None:
    require("coremltools", "coreml")  # before a test module imports it and TensorFlow with it, which crashes


# Files of tests that share what the conftest.py of their folder converts: bundles, which take minutes, and a hybrid.
BUNDLES = "tests/edgevit/flows"
SHARING = {
    BUNDLES: ("convert", "devices", "diff", "inspect", "run", "validate", "verify"),
    "tests/converters/tflite": ("tflite", "channels", "ends"),
}
# Begun first, in this order: what shares bundles, what starts many processes, what converts.
LONG = (
    BUNDLES,
    "tests/edgevit/test_",
    "tests/examples",
    "tests/test_wheel",
    "tests/converters",
    "tests/edgevit/api",
)
FROZEN = pytest.StashKey[str]()  # the file of tests at which that was done
TOGETHER = {f"{folder}/test_{name}.py": folder for folder, names in SHARING.items() for name in names}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes comes first: begun last, it would keep one of two processes alone."""

    def place(item: pytest.Item) -> int:
        together = _what_stays_together(item.nodeid)
        return next((i for i, start in enumerate(LONG) if together.startswith(start)), len(LONG))

    items.sort(key=place)


def pytest_collection() -> None:
    """What is imported stays: the collector would walk through it again and again, a fifth of the time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Where the tests at hand use PyTorch: what it costs anyway is not paid here."""
    gc.enable()
    if "torch" in sys.modules:
        importlib.import_module("tests._quick_torch")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Keep the collector off what libraries hold, a million objects: converters start it nine times for one file.

    Anew at each file of tests, when what the one before it has made is gone and what it has imported is there to stay.
    """
    file = item.nodeid.partition("::")[0]
    if item.config.stash.get(FROZEN, "") != file:
        item.config.stash[FROZEN] = file
        gc.collect()
        gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """The random weights of a test are the same in every run, whatever ran before it in its process.

    So is Ctrl-C: the command line, called within the process of the tests, ends deaf to it, and so would its heirs be.
    What libraries have left among the variables is seen, so that commands do not get it.
    """
    _given.look()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """With several processes (`-n 2`) a file goes to one of them, and so do files that share a conversion."""
    from xdist.scheduler import LoadScopeScheduling

    scheduling = LoadScopeScheduling(config, log)
    scheduling._split_scope = _what_stays_together
    return scheduling


def _what_stays_together(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    return TOGETHER.get(file, file)


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
