"""Hints for words that mean something elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgevit.commands._options import one_count
from edgevit.core.errors import InputError, UsageError
from edgevit.core.settings.hints import model_hint, precision_hint
from edgevit.core.settings.model_text import parse_source
from tests import _command


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("int8", "w8a8 (int8 weights and activations), w8 (int8 weights alone) or w8da8"),
        ("INT8", "w8a8 ("),
        ("w8-a8", "w8a8?"),
        ("8bit", "w8a8 ("),
        ("int4", "w4 ("),
        ("fp8", "w8a8 or w8"),
        ("e4m3", "w8a8 or w8"),
        ("float16", "fp16?"),
        ("half", "fp16?"),
        ("float32", "fp32?"),
        ("f32", "fp32?"),
        ("bfloat16", "fp16 (edgevit writes no bfloat16)"),
        ("int16x8", "w8a16?"),
        ("dynamic", "w8da8 ("),
        ("fp61", "fp16"),
    ],
)
def test_a_precision_by_another_name_is_recognised(word: str, meant: str) -> None:
    assert precision_hint(word).startswith(f"did you mean {meant}")


def test_a_precision_that_means_nothing_lists_them() -> None:
    assert precision_hint("banana") == "known: fp16, fp32, lut4, lut6, w4, w8, w8a16, w8a8, w8da8"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("saved", "did you mean hf:saved?"),
        ("run", "did you mean hf:run/best or hf:run/last?"),
        ("bundle", "that is a bundle that edgevit made"),
        ("tf", "SavedModel of TensorFlow is not read"),
        ("photos", "photos holds none"),
        ("model.pth", "`timm:NAME --weights model.pth`"),
        ("model.pth", "a whole module that torch.save(model) pickled is code, and is not opened"),
        ("gone.safetensors", "but there is no file gone.safetensors here"),
        ("net.onnx", "`validate` and `diff` take it"),
        ("net.keras", "did you mean keras:net.keras? There is no such file here"),
        ("net.py", "did you mean python:net.py:FACTORY"),
        ("net.py:make", "did you mean python:net.py:make?"),
        ("my.models:make", "did you mean python:my.models:make?"),
        ("google/vit-base-patch16-224", "did you mean hf:google/vit-base-patch16-224"),
        ("https://huggingface.co/a/b/tree/main", "did you mean hf:a/b, or timm:hf-hub:a/b"),
        ("vit_tiny_patch16_224.augreg", "did you mean timm:vit_tiny_patch16_224.augreg or torchvision:"),
    ],
)
def test_a_model_without_its_source_is_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, hint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("saved/config.json", "run/best/config.json", "run/last/config.json", "bundle/manifest.json"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("{}")
    for folder in ("tf", "photos"):
        Path(folder).mkdir()
    for name in ("tf/saved_model.pb", "model.pth"):
        Path(name).touch()
    assert hint in model_hint(text)
    with pytest.raises(UsageError, match="names no source") as caught:
        parse_source(text)
    assert hint in caught.value.hint and "MODEL is one of" in caught.value.hint


def test_a_folder_of_hf_that_is_not_there_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgevit.models._repository import repository_files

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="there is no folder runs/best here, and config.json of runs/best"):
        repository_files("runs/best")("config.json")


@pytest.mark.parametrize("text", ["", "1,,2", "-1", "1025", "two", "1.5"])
def test_one_thread_count_is_a_number(text: str) -> None:
    with pytest.raises(UsageError, match="is no number from 0 to 1024"):
        one_count(text)
    assert one_count("0") == 0 and one_count(4) == 4


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("convert", "demo", "--precision", "int8"), 2, "did you mean w8a8"),
        (("convert", "edgevit"), 2, "holds config.json, and edgevit holds none"),
        (("profile", "x.onnx", "--threads", "1,2"), 2, "run it once for each"),
    ],
)
def test_the_command_line_says_so(arguments: tuple[str, ...], code: int, told: str) -> None:
    done = _command.edgevit(*arguments)
    assert done.returncode == code and told in done.stderr and "Traceback" not in done.stderr
