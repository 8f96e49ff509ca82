from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgevit.core.errors import InputError
from edgevit.core.runner import RunOptions
from edgevit.formats.mlpackage import check_package
from edgevit.runtimes.coreml_reference import RUNTIME


def _package(folder: Path, model_path: str = "com.apple.CoreML/model.mlmodel", content: bytes = b"") -> Path:
    path = folder / "m.mlpackage"
    place = path / "Data" / "com.apple.CoreML"
    (place / "weights").mkdir(parents=True)
    (place / "model.mlmodel").write_bytes(content)
    manifest = {"itemInfoEntries": {"ROOT": {"path": model_path}}, "rootModelIdentifier": "ROOT"}
    (path / "Manifest.json").write_text(json.dumps(manifest))
    return path


def test_a_whole_package_gives_its_two_places(tmp_path: Path) -> None:
    found = check_package(_package(tmp_path))
    assert found.model.name == "model.mlmodel"
    assert found.weights.is_dir()


@pytest.mark.parametrize(
    "leads_out", ["../../secret", "/etc/hostname", "com.apple.CoreML/../../../secret", "a\\b"]
)
def test_a_manifest_that_leads_out_of_the_package_is_refused(tmp_path: Path, leads_out: str) -> None:
    (tmp_path / "secret").write_text("x")
    with pytest.raises(InputError, match="leads out of the package"):
        check_package(_package(tmp_path, leads_out))


def test_a_symbolic_link_in_the_package_is_refused(tmp_path: Path) -> None:
    path = _package(tmp_path)
    (tmp_path / "secret").write_text("x")
    (path / "Data" / "com.apple.CoreML" / "weights" / "weight.bin").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match=r"weight\.bin is a symbolic link"):
        check_package(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"itemInfoEntries": {}, "rootModelIdentifier": "x"}'])
def test_a_damaged_manifest_is_refused(tmp_path: Path, text: str) -> None:
    path = _package(tmp_path)
    (path / "Manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"Manifest\.json"):
        check_package(path)


def test_a_missing_model_and_a_missing_package_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gone.mlmodel is missing"):
        check_package(_package(tmp_path, "gone.mlmodel"))
    with pytest.raises(InputError, match="is not an .mlpackage folder"):
        check_package(tmp_path / "none.mlpackage")


def test_bytes_that_are_no_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the model cannot be read"):
        RUNTIME.open(_package(tmp_path, content=b"\xff\xfe not a model"), RunOptions())


def test_an_empty_model_is_no_program(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="its model is of no kind"):
        RUNTIME.open(_package(tmp_path), RunOptions())
