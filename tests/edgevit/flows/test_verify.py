from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edgevit.core.disk import manifest
from edgevit.core.errors import InputError
from edgevit.flows.verify import verify
from tests._command import edgevit
from tests.edgevit.flows._converted import Converted


def bundle(folder: Path) -> Path:
    (folder / "onnx" / "fp16").mkdir(parents=True)
    (folder / "onnx" / "fp16" / "model.onnx").write_bytes(b"abc")
    made = manifest.build(folder, "edgevit 0", manifest.ManifestModel("demo", "demo", "ff"), {})
    (folder / "manifest.json").write_text(json.dumps(manifest.to_json(made)))
    return folder


def test_untouched_bundle_passes(tmp_path: Path) -> None:
    answer = verify(bundle(tmp_path))
    assert answer.exit_code == 0
    assert answer.data["verdict"] == "pass" and answer.data["files"] == 1


def test_changed_file_is_a_failed_check_that_names_it(tmp_path: Path) -> None:
    (bundle(tmp_path) / "onnx" / "fp16" / "model.onnx").write_bytes(b"abd")
    answer = verify(tmp_path)
    assert answer.exit_code == 1
    assert "onnx/fp16/model.onnx has changed" in answer.tables[0].rows[0][0]


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"schema_version": 2}'])
def test_folder_that_is_no_bundle_is_an_input_error(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(InputError):
        verify(tmp_path)


def test_converted_bundle_holds_until_one_byte_changes(hybrid: Converted, tmp_path: Path) -> None:
    assert edgevit("verify", hybrid.bundle).returncode == 0
    copied = Path(shutil.copytree(hybrid.bundle, tmp_path / "copied"))
    weights = copied / "coreml/w8a8/model.mlpackage/Data/com.apple.CoreML/weights/weight.bin"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    done = edgevit("verify", copied, "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["verdict"] == "fail" and len(told["differences"]) == 1
    assert "coreml/w8a8/model.mlpackage" in told["differences"][0] and "changed" in told["differences"][0]
