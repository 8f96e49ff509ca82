"""A file is known by its content; one without weights is told by what it is, with the way out."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgevit.core.disk.file_kind import recognise
from edgevit.core.errors import InputError
from edgevit.models._checkpoint.files import read_contents

Write = Callable[[Path], object]


def onnx_file(path: Path) -> None:
    import onnx

    graph = onnx.helper.make_graph([], "g", [], [])
    onnx.save(onnx.helper.make_model(graph, producer_name="pytorch"), str(path))


def onnx_without_producer(path: Path) -> None:
    import onnx

    path.write_bytes(onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [])).SerializeToString())


def torchscript(path: Path) -> None:
    import torch

    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), str(path))


def members(*names: str) -> Write:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, b"x")

    return write


def tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("w.pth"), io.BytesIO())


def content(data: bytes) -> Write:
    return lambda path: path.write_bytes(data)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 22\n"
# Version 8, then the description with its first input, as coremltools writes them.
COREML = b'\x08\x08\x12\xed\x06\n\x11\n\x05image\x1a\x08"\x06\x08\x10\x10\x10\x18\x14R\x10\n\nclassLabel'
PT2 = ("program/data/weights/weight_0", "program/models/model.json", "program/archive_format")
LEVELDB = bytes(60) + bytes.fromhex("57fb808b247547db")
FOREIGN: dict[str, tuple[Write, str, str]] = {
    "torchscript": (torchscript, "a TorchScript program", "torch.jit.load(FILE).state_dict()"),
    "pt2": (members(*PT2), "a program of torch.export (.pt2)", "as MODEL"),
    "onnx": (onnx_file, "an ONNX file", "edgevit inspect"),
    "onnx without producer": (onnx_without_producer, "an ONNX file", "edgevit inspect"),
    "tflite": (content(b"\x20\0\0\0TFL3" + bytes(40)), "a TFLite file", "edgevit inspect"),
    "core ml": (content(COREML), "a Core ML file", "edgevit inspect"),
    "packed core ml": (members("m.mlpackage/Data/com.apple.CoreML/model.mlmodel"), "Core ML", "edgevit inspect"),
    "executorch": (content(b"\x20\0\0\0ET12" + bytes(40)), "an ExecuTorch program", "PyTorch checkpoint"),
    "h5": (content(b"\x89HDF\r\n\x1a\n" + bytes(40)), "an HDF5 file", "model.save('model.keras')"),
    "keras": (members("metadata.json", "config.json", "model.weights.h5"), "a Keras model", "as MODEL"),
    "tensorflow index": (content(LEVELDB), "a TensorFlow checkpoint", "Keras"),
    "lfs": (content(LFS), "a pointer of Git LFS", "git lfs pull"),
    "html": (content(b"\n<!DOCTYPE html><html><head>"), "an HTML page", "download it again"),
    "xml": (content(b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>'), "an XML document", "download"),
    "gguf": (content(b"GGUF\3\0\0\0" + bytes(40)), "a GGUF file", "float checkpoint"),
    "gzip": (lambda path: path.write_bytes(gzip.compress(b"x")), "compressed with gzip", "unpack"),
    "tar": (tar, "a tar archive", "unpack"),
    "zip": (members("readme.txt", "w.pth"), "a zip archive of 2 files, 'readme.txt' among them", "unpack"),
    "package": (members("m/.data/extern_modules", "m/model.py"), "a torch.package", "state_dict"),
    "cut off": (content(b"PK\3\4" + bytes(400)), "not a readable archive: its beginning is there", "again"),
    "flax": (content(b"\x81\xa6params\x82\xa4head"), "a checkpoint of Flax", "safetensors"),
    "npy": (lambda path: np.save(path.open("wb"), np.zeros(3)), "one NumPy array", "state_dict"),
    "pickle": (content(b"\x80\2}q\0."), "a pickle that torch.save did not write", "torch.save(model.state_dict()"),
    "empty": (content(b""), "it is empty", "checkpoint"),
    "text": (content(b"hello, weights"), "it is text", "checkpoint"),
    "zeros": (content(bytes(900)), "of no known kind", "checkpoint"),
}  # fmt: skip


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
@pytest.mark.parametrize("form", FOREIGN)
def test_what_holds_no_weights_is_told_by_what_it_is(tmp_path: Path, form: str, ending: str) -> None:
    write, what, way_out = FOREIGN[form]
    path = tmp_path / f"weights{ending}"
    write(path)
    with pytest.raises(InputError) as raised:
        read_contents(path)
    assert what in raised.value.message and way_out in raised.value.hint, raised.value


FOLDERS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "lora": (("adapter_config.json", "adapter_model.safetensors"), "LoRA adapter", "merge_and_unload"),
    "dcp": ((".metadata", "__0_0.distcp"), "a distributed checkpoint", "dcp_to_torch"),
    "savedmodel": (("saved_model.pb",), "a SavedModel", "Keras"),
    "deepspeed": (("zero_to_fp32.py", "latest"), "DeepSpeed", "zero_to_fp32"),
    "core ml": (("Data/com.apple.CoreML/model.mlmodel",), "a Core ML package", "checkpoint"),
    "nothing": (("notes.md",), "holds no weights", "give the file"),
    "several": (("a.pth", "b.pth"), "2 files of weights: a.pth, b.pth", "give one of them"),
}


@pytest.mark.parametrize("form", FOLDERS)
def test_a_folder_without_one_set_of_weights_is_told_too(tmp_path: Path, form: str) -> None:
    names, what, way_out = FOLDERS[form]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(InputError) as raised:
        read_contents(tmp_path)
    assert what in raised.value.message and way_out in raised.value.hint, raised.value


def test_what_holds_weights_is_known_under_any_name(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    tensors = {"a": torch.zeros(2)}
    torch.save(tensors, tmp_path / "zip")
    torch.save(tensors, tmp_path / "legacy", _use_new_zipfile_serialization=False)
    save_file(tensors, tmp_path / "safe")
    np.savez((tmp_path / "arrays").open("wb"), a=np.zeros(2))
    (tmp_path / "index").write_text(json.dumps({"weight_map": {}}))
    found = {path.name: recognise(path).reader for path in tmp_path.iterdir()}
    assert found == {
        "zip": "torch",
        "legacy": "torch",
        "safe": "safetensors",
        "arrays": "npz",
        "index": "index",
    }
