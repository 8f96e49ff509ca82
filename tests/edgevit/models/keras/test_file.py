"""A .keras file is looked at before Keras opens it; Keras need not be there for that."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import pytest

from edgevit.core.errors import InputError, MissingDependencyError, UnsupportedError
from edgevit.core.plugins import LoadRequest
from edgevit.models._keras.file import check_keras
from edgevit.registries import SOURCES


def layer(name: str, **changes: object) -> dict[str, object]:
    return {
        "module": "keras.layers",
        "class_name": "Dense",
        "config": {
            "name": name,
            "activation": {"module": "builtins", "class_name": "function", "config": "relu"},
        },
        "registered_name": None,
        **changes,
    }


def write(path: Path, *layers: dict[str, object]) -> Path:
    model = {"module": "keras", "class_name": "Sequential", "config": {"layers": list(layers)}}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(model))
        archive.writestr("model.weights.h5", b"")
    return path


def test_keras_own_layers_pass(tmp_path: Path) -> None:
    """And it is the odd one among them that is refused."""
    own = (layer("a"), layer("b", module="keras.src.ops.numpy"))
    check_keras(write(tmp_path / "m.keras", *own))
    with pytest.raises((InputError, UnsupportedError), match="'odd'"):
        check_keras(write(tmp_path / "odd.keras", *own, layer("odd", class_name="Lambda")))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"class_name": "Lambda"}, "Lambda layer (layer 'odd')"),
        ({"config": {"name": "odd", "function": {"class_name": "__lambda__", "config": {}}}}, "Lambda layer"),
        ({"class_name": "TFSMLayer"}, "TFSMLayer"),
        ({"module": "os", "class_name": "system"}, "system of os"),
        ({"module": "keras_evil.layers"}, "keras_evil.layers"),
        ({"module": "keras.utils", "class_name": "get_file"}, "get_file of keras.utils"),
        (
            {"module": "keras.src.saving.saving_lib", "class_name": "load_model"},
            "load_model of keras.src.saving",
        ),
        (
            {"module": "keras.config", "class_name": "enable_unsafe_deserialization"},
            "enable_unsafe_deserialization",
        ),
        ({"module": None, "class_name": "Mine", "registered_name": "pack>Mine"}, "pack>Mine"),
    ],
)
def test_code_is_named_and_refused(tmp_path: Path, changes: dict[str, object], named: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        check_keras(write(tmp_path / "m.keras", layer("fine"), layer("odd", **changes)))
    assert named in caught.value.message and "python:FILE:FACTORY" in caught.value.hint


def test_what_is_no_keras_file_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with pytest.raises(InputError, match="does not exist"):
        check_keras(path)
    path.write_bytes(b"hello")
    with pytest.raises(InputError, match=r"no \.keras file"):
        check_keras(path)
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(InputError, match="HDF5") as caught:
        check_keras(path)
    assert "model.save('model.keras')" in caught.value.hint
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(InputError, match=r"without config\.json"):
        check_keras(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{")
    with pytest.raises(InputError, match="damaged"):
        check_keras(path)


def test_without_keras_the_install_command_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "m.keras", layer("a"))
    monkeypatch.setitem(sys.modules, "keras", None)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("KERAS_TORCH_DEVICE", "cpu")
    with pytest.raises(MissingDependencyError) as caught:
        SOURCES.get("keras").load(LoadRequest(f"keras:{path}", str(path)))
    assert caught.value.hint == "pip install 'edgevit[keras]'"
