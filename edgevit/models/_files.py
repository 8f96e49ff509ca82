"""Read a file of weights into tensors by name, without ever running what it holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core.archive import check_zip
from edgevit.core.errors import InputError
from edgevit.core.reading import reading
from edgevit.core.regular import regular_file

if TYPE_CHECKING:
    import torch

# Where training scripts put the weights of the model inside a checkpoint; moving averages first.
_CONTAINERS = ("state_dict_ema", "model_ema", "state_dict", "model")
_PREFIX = "module."  # left behind by (Distributed)DataParallel


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read `.safetensors`, `.pth`, `.pt` or `.bin` into tensors by name, on the CPU.

    PyTorch files are read with `weights_only=True` and in no other way.

    Raises:
        InputError: missing, unreadable, of an unknown kind, or a pickle that wants to run code.
    """
    regular_file(path, "weights file", "--weights takes .safetensors, .pth, .pt or .npz")
    if path.suffix == ".safetensors":
        return _safetensors(path)
    if path.suffix in (".pth", ".pt", ".bin"):
        return _tensors(path, _torch(path))
    raise InputError(
        f"weights file {path} is of an unknown kind", "it must end in .safetensors, .pth, .pt or .npz"
    )


def _safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    with reading(path, "safetensors file"):
        return load_file(path)


def _torch(path: Path) -> object:
    import pickle

    import torch

    check_zip(path, stored_only=True)
    try:
        with reading(path, "PyTorch checkpoint", passing=(pickle.UnpicklingError,)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # PyTorch's own text advises to load it with less care; it is not passed on.
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        wanted = named[1] if named else _first_global(path)
        if wanted is None:
            raise InputError(
                f"{path} is not a readable PyTorch checkpoint: not a pickle of tensors"
            ) from error
        raise InputError(
            f"{path} is refused: as a pickle it wants to use {wanted}, and only plain tensors are read",
            "save just the state_dict, best as .safetensors; edgevit has no switch to load it anyway",
        ) from error


def _first_global(path: Path) -> str | None:
    """The first thing that a bare pickle would import, found without executing it."""
    import pickletools

    strings: list[str] = []
    try:
        with path.open("rb") as stream:
            for opcode, argument, _ in pickletools.genops(stream):
                if opcode.name in ("GLOBAL", "INST"):
                    return str(argument).replace(" ", ".")
                if opcode.name == "STACK_GLOBAL":
                    return ".".join(strings[-2:])
                if isinstance(argument, str):
                    strings.append(argument)
    except Exception:  # noqa: BLE001  a damaged pickle names nothing
        return None
    return None


def _tensors(path: Path, loaded: object) -> dict[str, torch.Tensor]:
    import torch

    if isinstance(loaded, dict):
        inner = next((loaded[key] for key in _CONTAINERS if isinstance(loaded.get(key), dict)), loaded)
        state = {str(key): value for key, value in inner.items() if isinstance(value, torch.Tensor)}
        if state and len(state) == len(inner):
            if all(key.startswith(_PREFIX) for key in state):
                return {key.removeprefix(_PREFIX): value for key, value in state.items()}
            return state
    raise InputError(
        f"{path} holds no state_dict (tensors by name), neither itself nor under {', '.join(_CONTAINERS)}",
        "save model.state_dict()",
    )
