"""What a word of the command line was meant to say, where it says nothing that edgevit knows: hints, never guesses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from edgevit.core.disk.regular import is_folder, is_there
from edgevit.core.errors import nearest
from edgevit.core.precisions import Precision

_WEIGHTS: Final = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".npz", ".tar", ".pkl", ".pickle")
_CONVERTED: Final = (".onnx", ".tflite", ".mlpackage")
# Other words for the precisions, in lower case and without what stands between letters and digits.
_PRECISIONS: Final = {
    "int8": "w8a8 (int8 weights and activations), w8 (int8 weights alone) or w8da8 (activations quantized as it runs)",
    "int4": "w4 (int4 weights, float activations)",
    "int16": "w8a16 (int8 weights, int16 activations) or fp16",
    "float32": "fp32",
    "float16": "fp16",
    "bf16": "fp16 (edgevit writes no bfloat16)",
    "fp8": "w8a8 or w8 (edgevit writes no 8-bit floats)",
    "fp4": "w4 (edgevit writes no 4-bit floats)",
    "lut8": "lut6 or w8",
    "w4a8": "w4 (activations stay in float) or w8a8",
    "w4a16": "w4",
    "w8a32": "w8",
    "dynamic": "w8da8 (activations quantized as it runs)",
}
_ALIKE: Final = {
    "int8": (
        "i8",
        "8",
        "8bit",
        "w8a8int8",
        "qint8",
        "uint8",
        "u8",
        "ptq",
        "static",
        "fullint8",
        "fullinteger",
        "full",
    ),
    "int4": ("i4", "4", "4bit", "uint4", "nf4", "w4a32"),
    "int16": ("i16",),
    "float32": ("f32", "32", "float", "single", "full32", "w32a32"),
    "float16": ("f16", "16", "half", "w16a16", "w16"),
    "bf16": ("bfloat16",),
    "fp8": ("float8", "f8", "e4m3", "e5m2"),
    "fp4": ("float4", "f4", "mxfp4", "nvfp4"),
    "w8a16": ("int16x8", "16x8", "a16w8"),
    "w8a32": ("w8only", "weightonly", "w8a16f"),
    "dynamic": ("dynamicrange", "drq", "dynint8"),
}


def precision_hint(word: str) -> str:
    """For an unknown precision."""
    plain = re.sub(r"[^a-z0-9]", "", word.lower())
    words = [precision.value for precision in Precision]
    if plain in words:
        return f"did you mean {plain}?"
    name = next((name for name, others in _ALIKE.items() if plain in others), plain)
    meant = _PRECISIONS.get(name, name if name in words else "")
    listed = ", ".join(sorted(words))
    return f"did you mean {meant}? Known: {listed}" if meant else nearest(word, words)


def model_hint(text: str) -> str:
    """For a MODEL text that names no source: by what lies there, by its ending, by its form; "" for none of these."""
    path = Path(text)
    if path.suffix in _CONVERTED:
        return (
            "a converted file is the end of this way: `edgevit inspect`, `run`, `validate` and `diff` take it"
        )
    if is_folder(path):
        return _folder(path)
    ending, missing = path.suffix.lower(), "" if is_there(path) else f", but there is no file {text} here"
    if ending in _WEIGHTS:
        return (
            f"a file of weights says nothing of the architecture: name the model and add --weights {text}, as in "
            f"`timm:NAME --weights {text}` or `python:FILE.py:FACTORY --weights {text}`{missing}; a whole module that "
            "torch.save(model) pickled is code, and is not opened: save model.state_dict()"
        )
    if ending in (".keras", ".h5", ".hdf5"):
        return f"did you mean keras:{text}?{missing and ' There is no such file here'}"
    if ending == ".py":
        return f"did you mean python:{text}:FACTORY, FACTORY being a function or class of it that gives the module?"
    return _form(text)


def _form(text: str) -> str:
    hub = re.match(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+)", text)
    if hub or re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", text):
        name = hub[1] if hub else text
        return f"did you mean hf:{name}, or timm:hf-hub:{name} for a model that timm saved?" + (
            "" if hub else f" There is no folder {text} here"
        )
    if re.fullmatch(r"[\w./\\-]+\.py:\w+", text) or re.fullmatch(r"\w+(\.\w+)+:\w+", text):
        return f"did you mean python:{text}?"
    if re.fullmatch(r"[A-Za-z_]\w*(\.\w+)?", text):
        return f"did you mean timm:{text} or torchvision:{text}?"
    return ""


def _folder(folder: Path) -> str:
    if (folder / "config.json").is_file():
        return f"did you mean hf:{folder}?"
    if (folder / "manifest.json").is_file():
        return (
            "that is a bundle that edgevit made: `edgevit validate` and `verify` take it, `run`, `diff` and `inspect` "
            "a file of it; MODEL is what it was made from"
        )
    if (folder / "saved_model.pb").is_file():
        return "a SavedModel of TensorFlow is not read: load it in Keras 3, save it as .keras, and give keras:FILE"
    inside = sorted(str(found.parent) for found in folder.glob("*/config.json"))[:3]
    if inside:
        return "did you mean " + " or ".join(f"hf:{found}" for found in inside) + "?"
    return f"hf:DIR takes a folder that holds config.json, and {folder} holds none"
