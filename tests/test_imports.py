"""Nothing heavy is imported before it is needed, so that the command line answers at once."""

from __future__ import annotations

import inspect
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

LOADED = "import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"


def loaded_after(code: str, root: Path) -> frozenset[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{LOADED}"], capture_output=True, text=True, cwd=root, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return frozenset(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import edgevit",
        "import edgevit.registries, edgevit.core.process.worker, edgevit.core.process._child",
        "from edgevit.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "from edgevit.cli import main\ntry: main(['convert', '--help'])\nexcept SystemExit: pass",
        "from edgevit import registries as r\nr.TARGETS.names(), r.SOURCES.names(), r.METRICS.names()",
    ],
)
def test_nothing_heavy_is_imported(code: str, root: Path, heavy: frozenset[str]) -> None:
    assert "torch" in heavy and "numpy" in heavy
    # Typer itself looks at a command's parameters with pydantic.
    typers_own = {"pydantic"} if "'convert'" in code else set()
    assert (loaded_after(code, root) & heavy) - typers_own == frozenset()


def test_every_module_can_be_imported_without_anything_heavy(root: Path, heavy: frozenset[str]) -> None:
    names = [
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        for package in ("edgevit", "converters", "calibration")
        for path in sorted((root / package).rglob("*.py"))
        if path.stem != "__main__" and "assets" not in path.parts
    ]
    assert "edgevit.core.process.worker" in names
    code = "\n".join(f"import {name}" for name in names)
    assert loaded_after(code, root) & heavy == frozenset()


def test_help_answers_at_once(root: Path) -> None:
    # Processor time of the child, the least of several runs: the wall clock of a busy machine says little.
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "edgevit", "--help"], check=True, capture_output=True, cwd=root, timeout=60
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.3


def test_validate_stays_the_function_when_the_part_of_its_name_is_imported() -> None:
    """As `edgevit.convert` does, which judges the files."""
    import edgevit
    import edgevit.validate.verdict

    assert (
        inspect.isfunction(edgevit.validate)
        and sys.modules["edgevit.validate"].__name__ == "edgevit.validate"
    )
    from edgevit.validate.verdict import exit_code

    assert exit_code(()) == 3
