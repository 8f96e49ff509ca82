from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgevit.core import manifest as m
from edgevit.core.errors import InputError

MODEL = m.ManifestModel("demo", "demo", "ff")


def bundle(folder: Path) -> Path:
    (folder / "onnx" / "w8").mkdir(parents=True)
    (folder / "onnx" / "w8" / "model.onnx").write_bytes(b"abc")
    (folder / "report.json").write_bytes(b"")
    (folder / "manifest.json").write_text("{}")
    return folder


def test_every_file_but_the_manifest_is_hashed(tmp_path: Path) -> None:
    made = m.build(bundle(tmp_path), "edgevit 0", MODEL, {"to": "onnx"})
    assert [(f.path, f.size_bytes) for f in made.files] == [("onnx/w8/model.onnx", 3), ("report.json", 0)]
    # The SHA-256 of "abc" from FIPS 180-2, appendix B.1.
    assert made.files[0].sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert m.from_json(json.loads(json.dumps(m.to_json(made)))) == made
    assert m.differences(made, tmp_path) == ()


def test_a_changed_a_missing_and_an_added_file_are_named(tmp_path: Path) -> None:
    made = m.build(bundle(tmp_path), "edgevit 0", MODEL, {})
    (tmp_path / "onnx" / "w8" / "model.onnx").write_bytes(b"abd")
    (tmp_path / "report.json").unlink()
    (tmp_path / "extra.txt").write_text("x")
    missing, changed, added = m.differences(made, tmp_path)
    assert missing == "report.json is missing"
    assert changed.startswith("onnx/w8/model.onnx has changed")
    assert added == "extra.txt is not in the manifest"


@pytest.mark.parametrize("path", ["../a", "/a", "a/../../b", "C:/a", "a\\..\\..\\b"])
def test_a_path_out_of_the_bundle_is_refused(path: str) -> None:
    made = m.Manifest("edgevit 0", (m.FileEntry(path, "0", 1),), MODEL)
    with pytest.raises(InputError, match="leads out"):
        m.from_json(m.to_json(made))
