"""The action at the root, carried out: on the repository of examples/ci, and with commands that only take notes."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

from edgevit.core.process import forking
from tests._command import environment, server
from tests.ci._composite import Contexts, Ran, outputs, run

UPLOAD, SETUP = "actions/upload-artifact", "actions/setup-python"
RESTORE, SAVE = "actions/cache/restore", "actions/cache/save"
AS_IT_IS = {"install": "false", "cache": "false"}
# Writes its arguments apart by NUL, makes a bundle where it is told to, and ends as $CODES says of the command.
NOTES = """
printf '%s\\0' "$@" "" >> "$HOME/notes"
[[ " $CODES " =~ " $1="([0-9]+) ]] && code=${BASH_REMATCH[1]}
if [[ $2 == --output && ${code:-0} != 2 ]]; then mkdir -p "$3" && touch "$3/report.json"; fi
if [[ $1 == gate && $2 == --baseline ]]; then echo "compared" > "$5"; echo "<testsuites/>" > "$7"; fi
echo "log of $1"
exit "${code:-0}"
"""
# Anything that a shell takes for more than text leaves the file `ran` behind.
HOSTILE = "a b 'c' \"d\" ; touch ran; $(touch ran) `touch ran` && touch ran | tee ran > ran * \\ % ${HOME} ::error::x"


class Place:
    """A checkout, the home of its runner with a folder of commands, and what GitHub keeps beside the steps."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.workspace, self.home = folder / "workspace", folder / "home"
        self.action = root / "action.yml"
        self.workspace.mkdir(parents=True)
        self.home.mkdir()
        self._runs = 0

    def command(self, name: str, script: str) -> None:
        file = self.home / name
        file.write_text(f"#!/bin/bash\n{script}\n")
        file.chmod(0o755)

    def run(self, pass_fds: tuple[int, ...] = (), codes: str = "", **inputs: str) -> Ran:
        """Inputs are named as in Python, and are those of an environment of one's own unless said otherwise."""
        self._runs += 1
        given = {name.replace("_", "-"): value for name, value in {**AS_IT_IS, **inputs}.items()}
        around = environment(PATH=f"{self.home}:{os.environ['PATH']}", HOME=self.home, CODES=codes)
        files = self.home / f"run{self._runs}"
        return run(self.action, given, self.workspace, around, files, pass_fds)

    def notes(self) -> list[list[str]]:
        """The words of each command that was noted; they are forgotten."""
        text = (self.home / "notes").read_text()
        (self.home / "notes").unlink()
        return [words.split("\0") for words in text.removesuffix("\0\0").split("\0\0")]


# ---------------------------------------------------------------- with a command that takes notes


@pytest.fixture
def place(tmp_path: Path, root: Path) -> Place:
    made = Place(tmp_path, root)
    made.command("edgevit", NOTES)
    made.command("python", 'if [[ $3 == cache ]]; then echo "$HOME/pip"; exit; fi' + NOTES)
    made.command("python3", f'exec {sys.executable} "$@"')
    (made.workspace / "model.baseline.json").touch()
    return made


def test_arguments_arrive_as_they_were_given(place: Place) -> None:
    bundle = place.workspace / "out"
    ran = place.run(
        recipe="r.toml",
        bundle="out/",
        arguments="timm:x\n--max-drop=0.5\r\n\n--evaluate\nmy photos",
        gate_arguments="--accept=labels\n--accept\nouter inputs\n",
    )
    assert ran.exit_code == 0 and ran.outputs["outcome"] == "pass", ran.log
    convert, gate = place.notes()
    given = ["timm:x", "--max-drop=0.5", "--evaluate", "my photos"]
    assert convert == ["convert", "--output", str(bundle), "--overwrite", "--recipe", "r.toml", *given]
    files = ["--markdown", f"{bundle}-gate/gate.md", "--junit-xml", f"{bundle}-gate/gate.xml"]
    files += ["--html", f"{bundle}-gate/gate.html"]
    own = ["--accept=labels", "--accept", "outer inputs"]
    assert gate == ["gate", "--baseline", "model.baseline.json", *files, *own, "--", str(bundle)]
    (uploaded,) = ran.uses(UPLOAD)
    assert uploaded["path"].split() == [str(bundle), f"{bundle}-gate"]
    assert ran.outputs == {
        "outcome": "pass",
        "exit-code": "0",
        "bundle": str(bundle),
        "markdown": f"{bundle}-gate/gate.md",
        "comment": f"{bundle}-gate/comment.md",
        "junit": f"{bundle}-gate/gate.xml",
    }
    assert Path(ran.outputs["comment"]).read_text() == "compared\n"


def test_hostile_inputs_are_text(place: Place) -> None:
    inputs = ("recipe", "files", "arguments", "gate_arguments", "bundle", "extras", "artifact")
    ran = place.run(**dict.fromkeys(inputs, HOSTILE), cache="true", install="true", python_version=HOSTILE)
    assert ran.exit_code == 0, ran.log
    assert not list(place.workspace.rglob("ran")) and not list(place.home.rglob("ran"))
    pip, convert, gate = place.notes()
    assert pip[-1].endswith(f"[{HOSTILE}]") and convert[-5:] == ["--recipe", HOSTILE, HOSTILE, "--", HOSTILE]
    assert gate[-3:] == [HOSTILE, "--", str(place.workspace / HOSTILE)]
    missing = place.run(recipe="r.toml", baseline=f"no {HOSTILE}", artifact=HOSTILE)
    assert missing.outputs["outcome"] == "no-baseline" and not list(place.workspace.rglob("ran"))
    place.notes()
    place.run(recipe="r.toml", baseline=HOSTILE)  # which is there: the bundle
    assert place.notes()[1][:3] == ["gate", "--baseline", HOSTILE]


@pytest.mark.parametrize("name", ["recipe", "files", "bundle", "baseline"])
def test_a_path_of_several_lines_is_refused_before_it_could_become_an_output(place: Place, name: str) -> None:
    ran = place.run(**{"recipe": "r.toml", name: "x\nreports=/elsewhere"})
    assert ran.exit_code == 2 and name.upper() in ran.log and not ran.uses(UPLOAD)
    assert ran.outputs["bundle"] == "" and not (place.home / "notes").exists()


def test_only_the_commands_there_are(place: Place) -> None:
    ran = place.run(command="verify; touch ran", recipe="r.toml")
    assert ran.exit_code == 2 and "convert, validate or none" in ran.log
    ran = place.run()
    assert ran.exit_code == 2 and "needs the input recipe" in ran.log


def test_existing_files_are_executed_and_a_bundle_is_taken_as_it_is(place: Place) -> None:
    bundle = str(place.workspace / "dist" / "model")
    place.run(command="validate", files="my model.tflite", arguments="--reference=demo\n--evaluate=demo")
    validate, gate = place.notes()
    given = ["--reference=demo", "--evaluate=demo", "--", "my model.tflite"]
    assert validate == ["validate", "--output", bundle, "--overwrite", *given] and gate[-2:] == ["--", bundle]
    place.run(command="none")
    assert [words[0] for words in place.notes()] == ["gate"]
    ran = place.run(command="validate", arguments="--reference=demo")
    assert ran.exit_code == 2 and "needs the input files" in ran.log


@pytest.mark.parametrize(
    ("codes", "code", "outcome"),
    [
        ("gate=1", 1, "regressed"),
        ("gate=2", 2, "wrong-input"),
        ("gate=3", 3, "not-measured"),
        ("gate=4", 4, "inconclusive"),
        ("convert=3 gate=1", 1, "regressed"),  # one target of several no longer converts
        (
            "convert=1",
            1,
            "failed",
        ),  # nothing is worse than the baseline, but a limit of the recipe does not hold
    ],
)
def test_the_gate_decides_and_the_bundle_is_uploaded_first(
    place: Place, codes: str, code: int, outcome: str
) -> None:
    ran = place.run(recipe="r.toml", codes=codes)
    assert (ran.exit_code, ran.outputs["exit-code"]) == (code, str(code))
    assert ran.outputs["outcome"] == outcome and len(ran.uses(UPLOAD)) == 1


def test_a_bundle_of_an_earlier_conversion_is_not_taken_for_a_new_one(place: Place) -> None:
    old = place.workspace / "dist" / "model" / "report.json"
    old.parent.mkdir(parents=True)
    old.touch()
    ran = place.run(recipe="r.toml", codes="convert=2")
    assert ran.exit_code == 2 and ran.outputs["outcome"] == "failed"
    assert [words[0] for words in place.notes()] == ["convert"]
    assert "ended with exit code 2" in ran.summary and "    log of convert" in ran.summary


def test_packages_of_this_release_are_installed_and_kept_at_once(place: Place, root: Path) -> None:
    (place.workspace / "r.toml").write_text("to = ['onnx']\n")
    ran = place.run(recipe="r.toml", install="true", cache="true", extras="onnx,tflite")
    pip = ["-m", "pip", "install", "--disable-pip-version-check"]
    assert place.notes()[0] == [*pip, "--constraint", f"{root}/constraints.txt", f"{root}[onnx,tflite]"]
    assert [step.name for step in ran.used] == [SETUP, RESTORE, SAVE, RESTORE, UPLOAD]
    packages, models = ran.uses(RESTORE)
    assert ran.uses(SAVE) == [packages] and re.fullmatch(
        "edgevit-packages-Linux-3.11-[0-9a-f]{20}", packages["key"]
    )
    (place.home / ".cache" / "huggingface").mkdir(parents=True)
    again = place.run(recipe="r.toml", cache="true", pinned="false")
    assert again.uses(RESTORE) == [models] == again.uses(SAVE)
    (place.workspace / "r.toml").write_text("to = ['tflite']\n")
    assert place.run(recipe="r.toml", cache="true").uses(RESTORE)[0]["key"] != models["key"]
    place.notes()
    place.run(recipe="r.toml", install="true", pinned="false")
    assert place.notes()[0] == [*pip, f"{root}[all]"]


def test_a_long_report_is_cut_for_a_comment(place: Place) -> None:
    line = "ü" * 99
    place.command("edgevit", f"{NOTES.replace('compared', '$(yes ' + line + ' | head -n 1000)')}")
    ran = place.run(recipe="r.toml")
    comment = Path(ran.outputs["comment"]).read_text()
    assert len(comment.encode()) < 65_536 and "The rest is in the summary" in comment
    assert set(comment.splitlines()[:-2]) == {line}


# ---------------------------------------------------------------- for real


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Place:
    """That of examples/ci, with the edgevit of this checkout on the PATH."""
    made = Place(tmp_path_factory.mktemp("action"), root)
    shutil.copytree(root / "examples" / "ci", made.workspace, dirs_exist_ok=True)
    entry = f"import runpy, sys; sys.path.insert(0, {str(root)!r}); runpy.run_module('edgevit', run_name='__main__')"
    python = shlex.join([sys.executable, "-c", entry])
    # Steps are forked from a server only in the environment that it was started in.
    around = shlex.join(
        f"{name}={value}" for name, value in {**environment(), forking.SHARED: str(server())}.items()
    )
    made.command("edgevit", f'[[ $1 == gate ]] && exec {python} "$@"\nexec env -i {around} {python} "$@"')
    return made


@pytest.fixture(scope="module")
def unchanged(repository: Place) -> Ran:
    return repository.run((server(),), recipe="recipe.toml")


def checks(ran: Ran) -> dict[str, str]:
    """Of the JUnit file: file and check -> how it ended."""
    cases = ET.parse(ran.outputs["junit"]).iter("testcase")
    return {
        f"{case.get('classname')} {case.get('name')}": next((child.tag for child in case), "pass")
        for case in cases
    }


def test_an_unchanged_model_passes(unchanged: Ran) -> None:
    assert unchanged.exit_code == 0 and unchanged.outputs["outcome"] == "pass", unchanged.log
    assert "::error" not in unchanged.log and "::warning" not in unchanged.log
    ended = checks(unchanged)
    assert len(ended) > 5 and not {"failure", "error"} & set(ended.values())
    assert unchanged.summary.strip() == Path(unchanged.outputs["markdown"]).read_text().strip()


def test_a_broken_model_is_red_with_its_bundle(repository: Place, unchanged: Ran) -> None:
    """Its float file alone is converted, which is quicker; the gate misses the other one too."""
    from safetensors.torch import load_file, save_file

    layers = load_file(repository.workspace / "model.safetensors").items()
    broken = {name: tensor * (0 if ".self_attention." in name else 1) for name, tensor in layers}
    save_file(broken, repository.workspace / "broken.safetensors")
    given = "--weights\nbroken.safetensors\n--precision=fp32\n"
    ran = repository.run((server(),), recipe="recipe.toml", arguments=given, bundle="broken")
    assert (ran.exit_code, ran.outputs["outcome"]) == (1, "regressed"), ran.log
    for check in ("float model accuracy", "onnx/w8a8 present"):
        assert f"::error title=edgevit gate%3A {check}::regressed" in ran.log
        assert checks(ran)[check] == "failure"
    assert "regressed" in ran.summary
    (uploaded,) = ran.uses(UPLOAD)
    bundle, reports = map(Path, uploaded["path"].split())
    assert (bundle / "onnx" / "fp32" / "model.onnx").exists() and (reports / "gate.xml").exists()


def test_the_first_run_makes_the_baseline(repository: Place, unchanged: Ran) -> None:
    ran = repository.run((server(),), command="none", baseline="none/yet.json")
    assert (ran.exit_code, ran.outputs["outcome"]) == (2, "no-baseline"), ran.log
    assert "no baseline at none/yet.json" in ran.summary and "::error" in ran.log
    (uploaded,) = ran.uses(UPLOAD)
    made = json.loads(Path(uploaded["path"].split()[1], "baseline.json").read_text())
    committed = json.loads((repository.workspace / "model.baseline.json").read_text())
    assert made["images"] == committed["images"]
    assert [file["precision"] for file in made["files"]] == ["w8a8"]


# ---------------------------------------------------------------- and what carries it out


@pytest.mark.parametrize(
    "name", ["github.head_ref", "inputs.a || inputs.b", "hashFiles('x')", "inputs.a == b"]
)
def test_expressions_that_are_not_known_are_no_conditions(name: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        Contexts({"a": "", "b": ""}).holds(name)


def test_outputs_of_one_line_and_of_several() -> None:
    assert outputs("a=1=2\nb<<END\nx\ny=z\nEND\nc=\n") == {"a": "1=2", "b": "x\ny=z", "c": ""}


def test_the_workflow_of_the_example_names_inputs_and_outputs_of_the_action(root: Path) -> None:
    action = yaml.safe_load((root / "action.yml").read_text())
    text = (root / "examples" / "ci" / ".github" / "workflows" / "model.yml").read_text()
    (job,) = yaml.safe_load(text)["jobs"].values()
    (step,) = (step for step in job["steps"] if step.get("uses") == "./edgevit")
    assert step["with"].keys() <= action["inputs"].keys()
    named = set(re.findall(rf"steps\.{step['id']}\.outputs\.([\w-]+)", text))
    assert named and named <= action["outputs"].keys()
