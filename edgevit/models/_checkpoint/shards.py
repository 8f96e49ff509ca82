"""Weights in several files: an index that says which tensor is in which, or the folder that holds them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from edgevit.core.disk.documents import read_json
from edgevit.core.errors import InputError

# What transformers, diffusers and Accelerate call the weights of a folder, the safer form first.
NAMES: Final = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.safetensors.index.json",
)
_ENDINGS: Final = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".pth.tar")
_SHOWN: Final = 4
_INDEX_BYTES: Final = 64 << 20

Find = Callable[[str], "Path | None"]


def weights_in(folder: Path) -> Path:
    """The file or index that holds the weights of a folder.

    Raises:
        InputError: none is there, or several; or it is another framework's folder.
    """
    if (folder / "adapter_config.json").is_file():
        raise lora(folder)
    found = next((folder / name for name in NAMES if (folder / name).is_file()), None)
    if found is not None:
        return found
    for name, what, way_out in _FOREIGN:
        if (folder / name).exists():
            raise InputError(f"{folder} is {what}", way_out)
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name.endswith(_ENDINGS))
    if len(files) == 1:
        return files[0]
    if not files:
        raise InputError(
            f"the folder {folder} holds no weights",
            f"give the file itself, or a folder with {NAMES[0]} or an index",
        )
    names = ", ".join(path.name for path in files[:_SHOWN]) + (", ..." if len(files) > _SHOWN else "")
    raise InputError(f"the folder {folder} holds {len(files)} files of weights: {names}", "give one of them")


def parts_of(index: Path, find: Find | None = None) -> tuple[Path, ...]:
    """The files that an index names, which stand beside it, each once.

    Args:
        find: finds a file of the same folder or repository by its name.

    Raises:
        InputError: no index of weights, or one that names a file that is not there.
    """
    places = read_json(index, "the index of weights", limit=_INDEX_BYTES).get("weight_map")
    if not isinstance(places, dict):
        raise InputError(
            f"{index} has no weight_map that says where each tensor is",
            "give the index that save_pretrained wrote, or the folder that it is in",
        )
    found = []
    for name in sorted(set(map(str, places.values()))):
        part = (find or _beside(index))(name) if Path(name).name == name else None
        if part is None:
            raise InputError(
                f"{index} names the file {name[:80]!r}, which is not beside it",
                "put every file that the index names into its folder",
            )
        found.append(part)
    return tuple(found)


def lora(where: Path) -> InputError:
    """The error for an adapter, which is no model without the weights that it changes."""
    return InputError(
        f"{where} holds a LoRA adapter (PEFT), not the weights of a model",
        "merge it first: model = PeftModel.from_pretrained(base, FOLDER).merge_and_unload(), then save "
        "model.state_dict() or model.save_pretrained(OUT)",
    )


_FOREIGN: Final = (
    (
        ".metadata",
        "a distributed checkpoint of PyTorch (DCP)",
        "write it as one file: python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER weights.pth",
    ),
    (
        "saved_model.pb",
        "a SavedModel of TensorFlow",
        "load it in Keras, model.save('model.keras'), and give that as MODEL",
    ),
    (
        "Data/com.apple.CoreML",
        "a Core ML package",
        "it is a converted file: give the PyTorch checkpoint that it was made from",
    ),
    (
        "zero_to_fp32.py",
        "a checkpoint of DeepSpeed",
        "write it as one file with the zero_to_fp32.py that lies in it, and give that file",
    ),
)


def _beside(index: Path) -> Find:
    def find(name: str) -> Path | None:
        try:
            path = index.parent / name
            return path if path.is_file() else None
        except (OSError, ValueError):  # a name may be too long, or hold a zero byte
            return None

    return find
