"""The GitLab template executed by gitlab-ci-local, on the repository of examples/ci: which jobs are green, and why not.

gitlab-ci-local reads .gitlab-ci.yml as GitLab does and runs the jobs here, without a server. It needs rsync, and 4.75
of it Node.js 22; both are packages of npm:

    npm install gitlab-ci-local@4.75 node@22
    python -m bench.gitlab_ci --tool node_modules/.bin/gitlab-ci-local
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FAULTS = ("failure", "error")


def unchanged(repository: Path) -> dict[str, str]:
    return {}


def broken(repository: Path) -> dict[str, str]:
    """Attention that answers nothing, as of a training that went wrong."""
    from safetensors.torch import load_file, save_file

    file = repository / "model.safetensors"
    layers = load_file(file).items()
    save_file({name: tensor * (0 if ".self_attention." in name else 1) for name, tensor in layers}, file)
    return {}


def first_run(repository: Path) -> dict[str, str]:
    (repository / "model.baseline.json").unlink()
    return {}


def wrong_recipe(repository: Path) -> dict[str, str]:
    return {"EDGEVIT_RECIPE": "recipe of last week.toml"}


def hostile(repository: Path) -> dict[str, str]:
    return {
        "EDGEVIT_GATE_ARGUMENTS": "--max-drop=2\n--benchmark-json\n$(touch ran); `touch ran` 'x' \"y\".json\n"
    }


CASES: tuple[Callable[[Path], dict[str, str]], ...] = (unchanged, broken, first_run, wrong_recipe, hostile)


def prepare(repository: Path) -> None:
    """The example with this checkout in the place of the submodule, committed."""
    shutil.copytree(
        ROOT / "examples" / "ci", repository, ignore=shutil.ignore_patterns("dist", "__pycache__")
    )
    shutil.copytree(ROOT / "ci", repository / "edgevit" / "ci")


def commit(repository: Path) -> None:
    who = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
    for words in (("init", "--quiet"), ("add", "--all"), (*who, "commit", "--quiet", "--message=model")):
        subprocess.run(["git", *words], cwd=repository, check=True)


def run(repository: Path, tool: list[str], commands: Path, variables: dict[str, str]) -> tuple[int, str]:
    """Exit code of the job, and its log."""
    given = {"EDGEVIT_PACKAGE": "", **variables}
    words = [*tool, "--force-shell-executor", "--shell-isolation"]
    words += [word for name, value in given.items() for word in ("--variable", f"{name}={value}")]
    environment = {**os.environ, "PATH": f"{commands}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*words, "model"],
        cwd=repository,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    failed = re.search(r"^model finished in .* FAIL (\d+)", done.stdout, re.MULTILINE)
    assert (failed is None) == (done.returncode == 0), done.stdout
    return int(failed[1]) if failed else 0, done.stdout


def checks(file: Path) -> str:
    """Of the JUnit file that GitLab would show."""
    if not file.exists():
        return "none"
    cases = list(ET.parse(file).iter("testcase"))
    red = [case for case in cases if any(child.tag in FAULTS for child in case)]
    named = ", ".join(f"{case.get('classname')} {case.get('name')}" for case in red)
    return f"{len(cases)} checks, {len(red)} red" + (f": {named}" if red else "")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tool", required=True, type=shlex.split, help="command of gitlab-ci-local")
    parser.add_argument("--verbose", action="store_true", help="print the logs of the jobs")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        commands = Path(folder) / "bin"
        commands.mkdir()
        edgevit = commands / "edgevit"
        edgevit.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m edgevit "$@"\n')
        edgevit.chmod(0o755)
        print("| case | exit code | last line | JUnit |\n| --- | --- | --- | --- |")
        for case in CASES:
            repository = Path(folder) / case.__name__
            prepare(repository)
            variables = case(repository)
            commit(repository)
            code, log = run(repository, told.tool, commands, variables)
            if told.verbose:
                print(log, file=sys.stderr)
            assert not list(repository.rglob("ran")), "an argument was run"
            said = [line.partition(" > ")[2] for line in log.splitlines() if line.startswith("model > ")]
            junit = checks(repository / "dist" / "model-gate" / "gate.xml")
            print(
                f"| {case.__name__.replace('_', ' ')} | {code} | {said[-1] if said else ''} | {junit} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
