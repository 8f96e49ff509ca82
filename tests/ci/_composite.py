"""A composite action of GitHub, carried out: its `run:` blocks by bash, its `uses:` steps written down.

What GitHub does around them stands in its documentation: "Metadata syntax for GitHub Actions", "Workflow commands" (the
files behind GITHUB_OUTPUT and GITHUB_STEP_SUMMARY) and "Contexts". Expressions are those that the action uses; any
other one is an error, so that no condition is taken for true unread.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

_EXPRESSION: Final = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_COMPARISON: Final = re.compile(r"(\S+)\s*(==|!=)\s*(\S+)")
# `shell: bash`, as the workflow syntax spells it out.
_BASH: Final = ("bash", "--noprofile", "--norc", "-eo", "pipefail")


@dataclass(frozen=True, slots=True)
class Used:
    """A step that calls another action: `name` without its commit, and its inputs."""

    name: str
    inputs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ran:
    """What a workflow sees of the action.

    Attributes:
        exit_code: of the step that failed, or 0.
        log: what the steps printed; `summary`: what they put on the page of the run.
    """

    exit_code: int
    outputs: Mapping[str, str]
    log: str
    summary: str
    used: tuple[Used, ...]

    def uses(self, name: str) -> list[Mapping[str, str]]:
        """The inputs of each call of that action."""
        return [step.inputs for step in self.used if step.name == name]


@dataclass(frozen=True, slots=True)
class Contexts:
    """What expressions can name. A step that was skipped has no outputs, and those are empty texts."""

    inputs: Mapping[str, str]
    steps: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def fill(self, text: str) -> str:
        """`${{ ... }}` replaced by what it stands for."""
        return _EXPRESSION.sub(lambda found: self.value(found[1]), text)

    def value(self, name: str) -> str:
        """Of one name or text in quotes.

        Raises:
            ValueError: it is something else; KeyError: no such input.
        """
        match name.split("."):
            case ["inputs", known]:
                return self.inputs[known]
            case ["steps", step, "outputs", output]:
                return self.steps.get(step, {}).get(output, "")
            case ["runner", "os"]:
                return "Linux"
            case [quoted] if re.fullmatch(r"'[^']*'", quoted):
                return quoted[1:-1]
        raise ValueError(f"an expression that is not known here: {name}")

    def holds(self, condition: str) -> bool:
        """Comparisons joined by `&&`; those of texts do not look at upper and lower case."""
        return all(self._compared(part.strip()) for part in condition.split("&&"))

    def _compared(self, comparison: str) -> bool:
        found = _COMPARISON.fullmatch(comparison)
        if found is None:
            raise ValueError(f"a condition that is not known here: {comparison}")
        same = self.value(found[1]).casefold() == self.value(found[3]).casefold()
        return same == (found[2] == "==")


def run(
    action: Path,
    inputs: Mapping[str, str],
    workspace: Path,
    environment: Mapping[str, str],
    files: Path,
    pass_fds: tuple[int, ...] = (),
) -> Ran:
    """Carry out `action` with `workspace` as the checkout; steps after a failed one are left out, as GitHub does.

    Args:
        files: a new folder for what GitHub keeps beside a step.
    """
    document = yaml.safe_load(action.read_text(encoding="utf-8"))
    defaults = {name: one.get("default", "") for name, one in document["inputs"].items()}
    assert inputs.keys() <= defaults.keys(), "GitHub warns of inputs that the action has not"
    contexts = Contexts({**defaults, **inputs})
    files.mkdir()
    summary, log, used, code = files / "summary", "", [], 0
    summary.touch()
    for number, step in enumerate(document["runs"]["steps"]):
        if "if" in step and not contexts.holds(step["if"]):
            continue
        if "uses" in step:
            given = {name: contexts.fill(str(value)) for name, value in step.get("with", {}).items()}
            used.append(Used(step["uses"].partition("@")[0], given))
            continue
        assert step["shell"] == "bash"
        script, output = files / f"{number}.sh", files / f"{number}.output"
        script.write_text(contexts.fill(step["run"]), encoding="utf-8")
        output.touch()
        done = subprocess.run(
            [*_BASH, script],
            cwd=workspace / contexts.fill(step.get("working-directory", ".")),
            env={
                **environment,
                **{name: contexts.fill(str(value)) for name, value in step.get("env", {}).items()},
                "GITHUB_ACTIONS": "true",
                "GITHUB_ACTION_PATH": str(action.parent),
                "GITHUB_WORKSPACE": str(workspace),
                "GITHUB_OUTPUT": str(output),
                "GITHUB_STEP_SUMMARY": str(summary),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            pass_fds=pass_fds,
        )
        log += done.stdout
        if "id" in step:
            contexts.steps[step["id"]] = outputs(output.read_text(encoding="utf-8"))
        if done.returncode:
            code = done.returncode
            break
    answers = {name: contexts.fill(one["value"]) for name, one in document["outputs"].items()}
    return Ran(code, answers, log, summary.read_text(encoding="utf-8"), tuple(used))


def outputs(text: str) -> dict[str, str]:
    """The lines of GITHUB_OUTPUT: NAME=VALUE, or NAME<<END, lines and END.

    Raises:
        ValueError: a line is neither.
    """
    found, lines = {}, iter(text.splitlines())
    for line in lines:
        name, sign, value = re.fullmatch(r"([^=<]+)(=|<<)(.*)", line).groups()  # type: ignore[union-attr]
        if sign == "<<":
            end, value = value, ""
            value = "\n".join(iter(lambda end=end: next(lines), end))
        found[name] = value
    return found
