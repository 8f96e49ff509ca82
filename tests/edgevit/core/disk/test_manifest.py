from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from edgevit.core.disk import manifest as m
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


def test_what_is_no_plain_file_or_has_no_place_in_the_bundle_is_named(tmp_path: Path) -> None:
    made = m.build(bundle(tmp_path / "b"), "edgevit 0", MODEL, {})
    folder = tmp_path / "b"
    (tmp_path / "secret").write_text("outside")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "within").symlink_to("report.json")
    (folder / "broken").symlink_to("nothing")
    (folder / "empty" / "deeper").mkdir(parents=True)
    os.mkfifo(folder / "onnx" / "pipe")
    assert m.differences(made, folder) == (
        "broken is a symbolic link, which no bundle holds",
        "empty is a folder without a file in the manifest",
        "out is a symbolic link, which no bundle holds",
        "within is a symbolic link, which no bundle holds",
        "onnx/pipe is a pipe, which no bundle holds",
        "empty/deeper is a folder without a file in the manifest",
    )


def test_a_listed_file_or_its_folder_that_became_a_link_is_named(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "b")
    made = m.build(folder, "edgevit 0", MODEL, {})
    (folder / "report.json").rename(tmp_path / "moved.json")
    (folder / "report.json").symlink_to(tmp_path / "moved.json")  # the very same bytes
    (folder / "onnx").rename(tmp_path / "moved")
    (folder / "onnx").symlink_to(tmp_path / "moved")
    assert m.differences(made, folder) == (
        "onnx is a symbolic link, which no bundle holds",
        "report.json is a symbolic link, which no bundle holds",
        "onnx/w8/model.onnx is missing",
        "report.json is missing",
    )


def test_a_path_listed_twice_and_the_manifest_in_its_own_list_are_named(tmp_path: Path) -> None:
    made = m.build(bundle(tmp_path), "edgevit 0", MODEL, {})
    own = m.FileEntry(m.FILE_NAME, "0" * 64, 2)
    twice = m.Manifest("edgevit 0", (*made.files, made.files[1], own), MODEL)
    assert m.differences(twice, tmp_path) == (
        "report.json is listed 2 times",
        "manifest.json lists itself, which no hash can hold",
    )


def test_weights_beside_a_model_may_have_no_second_name(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "b")
    (tmp_path / "elsewhere").write_bytes(b"weights")
    (folder / "onnx" / "w8" / "model.onnx.data").hardlink_to(tmp_path / "elsewhere")
    made = m.build(folder, "edgevit 0", MODEL, {})
    assert m.differences(made, folder) == (
        "onnx/w8/model.onnx.data has another name elsewhere (a hard link): copy the file",
    )
    (tmp_path / "elsewhere").unlink()
    assert m.differences(made, folder) == ()
