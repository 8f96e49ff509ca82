"""The label files of a .tflite file, which are a zip archive behind the flatbuffer."""

from __future__ import annotations

import io
import zipfile

from converters.tflite.metadata import append_labels
from edgevit.core.outputs import OutputKind
from edgevit.core.types import LabelledOutput, ModelSpec, Preprocess, TensorSpec

OUTPUTS = (TensorSpec("logits", (1, 2), "float32"), TensorSpec("age", (1, 3), "float32"))


def written(labels: tuple[str, ...], **heads: tuple[str, ...]) -> dict[str, str]:
    named = {name: LabelledOutput(found, OutputKind()) for name, found in heads.items()}
    spec = ModelSpec("m", "m", Preprocess(8, 8, (8, 8)), OUTPUTS, labels, "", 0, heads=named)
    data = bytearray(b"TFL3")
    append_labels(data, spec)
    if data == b"TFL3":
        return {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_each_output_has_a_file_of_its_own_names() -> None:
    assert written(("cat", "dog\nhouse")) == {"labels.txt": "cat\ndog house\n"}
    assert written(("cat", "dog"), age=("child", "adult", "old")) == {
        "labels.txt": "cat\ndog\n",
        "labels_age.txt": "child\nadult\nold\n",
    }
    assert written((), age=("child", "adult", "old")) == {"labels_age.txt": "child\nadult\nold\n"}
    assert written(()) == {}
