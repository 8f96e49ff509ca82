"""`edgevit diff` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import torch

from edgevit.report import _schemas
from tests._command import edgevit
from tests.edgevit.flows import _faulty


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nets.py, and files of the right and of a faulty hybrid as torch.onnx.export writes them."""
    place = tmp_path_factory.mktemp("diff")
    made = _faulty.modules(_faulty.write_nets(place))
    for name, module in (("right", made["hybrid"]()), ("wrong", made["faulty_hybrid"](("transposed",)))):
        torch.onnx.export(module, (torch.zeros(1, 3, 32, 32),), place / f"{name}.onnx", verbose=False)
    torch.onnx.export(
        Other(made["hybrid"]()), (torch.zeros(1, 3, 32, 32),), place / "other.onnx", verbose=False
    )
    return place


class Other(torch.nn.Module):
    """A net that takes pixels from 0 to 1 and gives probabilities."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        return torch.softmax(self.net((image - mean) / std), -1)


def arguments(folder: Path, name: str) -> tuple[str | Path, ...]:
    reference = ("--reference", f"python:{folder / 'nets.py'}:hybrid", "--image-size", "32")
    return ("diff", folder / name, *reference, "--count", "1")


def test_json_of_a_wrong_file_is_valid_and_the_code_is_1(folder: Path) -> None:
    done = edgevit(*arguments(folder, "wrong.onnx"), "--json")
    assert done.returncode == 1, done.stderr
    data = json.loads(done.stdout)
    jsonschema.validate(data, json.loads((_schemas.FOLDER / "diff.schema.json").read_text()))
    assert data["schema_version"] == 2 and data["first_wrong"]["module"] == "mix"
    assert data["executed_by"].startswith("onnxruntime") and data["images"] == 1


def test_table_names_the_first_wrong_layer_and_its_line(folder: Path) -> None:
    done = edgevit(*arguments(folder, "wrong.onnx"), "-q")
    assert done.returncode == 1, done.stderr
    assert "the first wrong layer is mix:conv" in " ".join(done.stdout.split())
    assert "nets.py:" in done.stdout and "not found" in done.stdout


def test_right_file_leaves_with_code_0_and_all_layers_on_request(folder: Path) -> None:
    done = edgevit(*arguments(folder, "right.onnx"), "-q", "--all")
    assert done.returncode == 0, done.stderr
    assert "no layer is wrong" in done.stdout and "stem:conv" in done.stdout and "head:linear" in done.stdout


def test_bundle_and_missing_file_are_refused_before_any_work(folder: Path) -> None:
    for given in (folder, folder / "gone.onnx"):
        done = edgevit("diff", given, "--reference", "demo")
        assert done.returncode == 2 and done.stderr.startswith("error: ") and "Traceback" not in done.stderr


@pytest.mark.family  # in this process in flows/test_diff_output.py
def test_another_input_has_code_1_and_with_the_flag_that_is_named_a_softmax_alone_has_code_0(
    folder: Path,
) -> None:
    done = edgevit(*arguments(folder, "other.onnx"), "--json")
    assert done.returncode == 1, done.stderr
    data = json.loads(done.stdout)
    jsonschema.validate(data, json.loads((_schemas.FOLDER / "diff.schema.json").read_text()))
    assert "against the model with --file-preprocess normalize=0..1, and" in data["explanation"]
    done = edgevit(*arguments(folder, "other.onnx"), "-q", "--file-preprocess", "normalize=0..1")
    assert done.returncode == 0, done.stdout + done.stderr
    told = " ".join(done.stdout.replace("│", " ").split())
    assert "no layer is wrong" in told and "the file ends in a softmax, the float model gives logits" in told
