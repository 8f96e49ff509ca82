"""Names, exit codes and error messages of the command line: what others script against."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgevit import cli, registries
from edgevit.core.errors import StepError
from edgevit.flows import list as list_flow

Capture = pytest.CaptureFixture[str]
COMMANDS = (
    "convert",
    "quantize",
    "validate",
    "profile",
    "diff",
    "run",
    "inspect",
    "verify",
    "list",
    "doctor",
)


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        cli.main(list(arguments))
    assert isinstance(left.value.code, int)
    return left.value.code


def call_json(capsys: Capture, *arguments: str) -> tuple[int, dict[str, Any]]:
    code = call(*arguments, "--json")
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["convrt"], 2, "did you mean convert"),
        (["convert", "demo", "--precison", "w8"], 2, "--precision"),
        (["convert"], 2, "no MODEL"),
        (["convert", "demo", "--to", "onx"], 2, "did you mean onnx"),
        (["convert", "demo", "--precision", "w8a9"], 2, "did you mean w8a8"),
        (["convert", "tim:vit_tiny_patch16_224"], 2, "did you mean timm"),
        (["convert", "vit_tiny_patch16_224"], 2, "timm:vit_tiny_patch16_224"),
        (["convert", "demo", "--prune", "mpl=0.5"], 2, "did you mean mlp"),
        (["convert", "demo", "--without", "fold_batchnorm"], 2, "did you mean fold_batch_norm"),
        (["convert", "demo", "--option", "onnx.opst=20"], 2, "did you mean opset"),
        (["convert", "demo", "--to", "tflite", "--option", "onnx.opset=20"], 2, "add onnx to --to"),
        (["convert", "demo", "--preprocess", "maen=0.5"], 2, "did you mean mean"),
        (["convert", "demo", "--num-classes", "many"], 2, "--num-classes"),
        (["convert", "demo", "--recipe", "missing.toml"], 2, "missing.toml"),
        (["convert", "timm:vit_tiny_patch16_224", "--precision", "w8a8"], 2, "--calibrate SAMPLES"),
        (["convert", "demo", "--to", "onnx", "--precision", "lut4"], 3, "onnx writes fp32, fp16"),
        (["convert", "demo", "--precision", "w8a16"], 3, "no target can do w8a16"),
        (["convert", "demo", "--precision", "w8a8", "--auto-float"], 2, "needs a limit"),
        (["convert", "demo", "--auto-float", "--min-sqnr", "30"], 2, "nothing to do"),
        (
            ["convert", "demo", "--precision", "w8", "--plan", "plan.json"],
            2,
            "the plan plan.json does not exist",
        ),
        (["convert", "model.pt2", "--prune", "mlp=0.5"], 3, "--prune"),
        (["convert", "demo", "--option", "onnx.opset=banana"], 2, "onnx.opset must be"),
        (["convert", "demo", "--option", "onnx.float_macs=2"], 2, "onnx.float_macs must be"),
        (["convert", "demo", "--option", "tflite.input=int9"], 2, "tflite.input must be"),
        (["convert", "demo", "--option", "coreml.deployment=iOS3"], 2, "coreml.deployment is"),
        (["convert", "demo", "--option", "coreml.attention=maybe"], 2, "coreml.attention must be"),
        (["convert", "timm:vit_tiny_patch16_224", "--max-drop", "1"], 2, "without labelled images"),
        (["convert", "demo", "--calibrate", ""], 2, "--calibrate is empty"),
        (["list", "target"], 2, "did you mean targets"),
        (["verify", "missing"], 2, "is not a bundle"),
    ],
)
def test_bad_request_has_one_clear_message_and_its_code(
    arguments: list[str],
    code: int,
    words: str,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(*arguments) == code
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("error: ")
    assert words in printed.err and "Traceback" not in printed.err
    assert call(*arguments, "--json") == code
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert told["schema_version"] == 2 and set(told["error"]) == {"code", "message", "hint"}
    assert words in told["error"]["message"] + told["error"]["hint"] and printed.err == ""
    assert list(tmp_path.iterdir()) == []


def test_images_that_are_not_there_are_told_before_any_work(tmp_path: Path, capsys: Capture) -> None:
    code, told = call_json(capsys, "convert", "demo", "--evaluate", tmp_path / "none", "--dry-run")
    assert code == 2 and str(tmp_path / "none") in told["error"]["message"]


def test_dry_run_loads_everything_names_the_files_and_makes_none(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a net of one layer, which has 3x8x8x4 weights and 4 biases there, and 64x3 with 3 in its head."""
    net = "nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.Flatten(), nn.Linear(64, 3))"
    (tmp_path / "nets.py").write_text(f"from torch import nn\n\ndef net():\n    return {net}\n")
    pixels = np.zeros((300, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "images.npz", images=pixels, labels=np.zeros(300, np.int64))
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    model = (f"python:{tmp_path / 'nets.py'}:net", "--random-weights", "0", "--image-size", "32")
    path = str(tmp_path / "images.npz")
    images = ("--calibrate", path, "--evaluate", path, "--evaluate-count", "280", "--max-drop", "1")
    flags = ("--precision", "fp16,w8a16", "--dry-run", "-q")
    code, told = call_json(capsys, "convert", *model, *images, *flags)
    assert code == 0, told
    assert told["output"] == "dist/net"
    assert {name.partition("/")[0] for name in told["files"]} == set(registries.TARGETS.names())
    assert {item["what"] for item in told["not_done"]} == {f"{n}/w8a16" for n in registries.TARGETS.names()}
    assert all("writes fp32" in item["why"] for item in told["not_done"])
    assert told["recipe"]["evaluate"] == path
    assert told["model"]["parameters"] == 3 * 8 * 8 * 4 + 4 + 64 * 3 + 3
    assert told["model"]["macs"] == 16 * 3 * 8 * 8 * 4 + 64 * 3
    assert told["model"]["preprocess_origin"] and told["model"]["outputs"][0]["shape"] == [1, 3]
    found = {"path": path, "found": 300, "used": 280, "labelled": True}
    assert told["samples"] == {"calibrate": {**found, "used": 128}, "evaluate": found}
    assert list(here.iterdir()) == []


def test_saved_recipe_can_be_used_again(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Both runs end at the same option, after the recipe was read and before anything is loaded."""
    monkeypatch.chdir(tmp_path)
    path = str(tmp_path / "recipe.toml")
    flags = ("convert", "demo", "--to", "onnx", "--seed", "3", "--option", "onnx.opset=banana")
    first = call_json(capsys, *flags, "--save-recipe", path)
    assert first[0] == 2 and "onnx.opset must be a whole number" in first[1]["error"]["message"]
    assert call_json(capsys, "convert", "--recipe", path) == first
    assert "seed = 3" in Path(path).read_text()


def test_list_without_a_kind_gives_the_kinds_with_some_of_each(capsys: Capture) -> None:
    code, told = call_json(capsys, "list")
    items = {item["name"]: item["summary"] for item in told["items"]}
    assert code == 0 and set(items) == set(list_flow.KINDS) - {"kinds"}
    assert items["targets"] == "coreml, onnx, tflite" and items["rewrites"].endswith(", ...")


@pytest.mark.parametrize("kind", list_flow.KINDS)
def test_list_gives_every_name_with_a_line(kind: str, capsys: Capture) -> None:
    code, told = call_json(capsys, "list", kind)
    assert code == 0 and told["schema_version"] == 2 and told["kind"] == kind
    assert told["items"] and all(item["name"] and item["summary"] for item in told["items"])
    assert call("list", kind) == 0
    assert told["items"][0]["name"] in capsys.readouterr().out


def test_doctor_says_what_works_here(capsys: Capture) -> None:
    code, told = call_json(capsys, "doctor")
    assert code == 0
    assert {row["name"] for row in told["convert"]} == set(registries.TARGETS.names())
    assert {row["name"] for row in told["execute"]} == set(registries.RUNTIMES.names())
    assert all(
        row["available"] or row["reason"] for key in ("convert", "execute", "profile") for row in told[key]
    )
    assert "torch" in told["versions"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_an_example(command: str, capsys: Capture) -> None:
    assert call(command, "--help") == 0
    assert f"  edgevit {command} " in capsys.readouterr().out.replace("\n", " \n")


def test_help_groups_options_by_what_they_are_about(capsys: Capture) -> None:
    assert call("convert", "--help") == 0
    sections: dict[str, list[str]] = {}
    for line in capsys.readouterr().out.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            sections[line[:-1]] = []
        elif line.lstrip().startswith("-") and sections:
            sections[list(sections)[-1]].append(line.split("--")[1].split()[0])
    assert list(sections) == ["Arguments", "Model", "Images", "Compression", "Checks", "Output", "Resources"]
    places = {flag: title for title, flags in sections.items() for flag in flags}
    assert len(places) == sum(map(len, sections.values())) > 30
    expected = {"weights": "Model", "calibrate": "Images", "precision": "Compression", "min-sqnr": "Checks"}
    expected |= {"json": "Output", "recipe": "Output", "help": "Output", "max-memory": "Resources"}
    assert {flag: places[flag] for flag in expected} == expected


def test_version_and_bare_call(capsys: Capture) -> None:
    assert call("--version") == 0
    assert capsys.readouterr().out == "edgevit 0.1.0\n"
    assert call() == 0
    assert "First steps:" in capsys.readouterr().out


def test_every_command_is_in_the_help(capsys: Capture) -> None:
    assert call("--help") == 0
    printed = capsys.readouterr().out
    assert all(f"\n  {command} " in printed for command in COMMANDS)


def raising(error: BaseException) -> Any:
    def raise_it(*_: object) -> None:
        raise error

    return raise_it


def test_ctrl_c_is_130(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgevit.flows.list.list_kind", raising(KeyboardInterrupt()))
    assert call("list", "targets") == 130
    assert capsys.readouterr().err.startswith("error: interrupted")
    code, told = call_json(capsys, "list", "targets")
    assert code == 130 and told["error"]["code"] == "interrupted"


def test_trace_of_a_step_is_shown_with_v_only(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    error = StepError("converting failed", "try again")
    error.add_note("its last output")
    monkeypatch.setattr("edgevit.flows.list.list_kind", raising(error))
    assert call("list", "targets") == 3
    assert capsys.readouterr().err == "error: converting failed\nhint: try again\n"
    assert call("list", "targets", "-v") == 3
    assert "its last output" in capsys.readouterr().err


def test_bug_of_ours_keeps_its_trace_and_is_no_failed_check(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgevit.flows.list.list_kind", raising(ZeroDivisionError("a bug")))
    code = call("list", "targets", "--json")
    printed = capsys.readouterr()
    assert code == 3 and json.loads(printed.out)["error"]["code"] == "internal"
    assert "Traceback" in printed.err and "a bug" in printed.err


def test_package_with_our_name_somewhere_else_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "converters").mkdir()
    (tmp_path / "converters" / "__init__.py").touch()
    paths = [str(tmp_path), str(root)]
    code = f"import sys; sys.path[:0] = {paths}; from edgevit.cli import main; main(['doctor'])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert done.returncode == 3
    assert "'converters'" in done.stderr and str(tmp_path) in done.stderr


def test_reader_that_goes_away_is_no_error(root: Path) -> None:
    command = f"{sys.executable} -m edgevit list mil-ops | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=root, timeout=60)
    assert done.stdout.strip() == "0" and done.stderr == ""
