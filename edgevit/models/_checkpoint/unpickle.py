"""PyTorch's files through `torch.load(weights_only=True)`, and in no other way.

What training scripts keep beside the weights (arguments, paths, scores, configurations) is made of a few types. They
are known by name, and none of them is imported: an empty object or a plain dictionary stands in for each, so that
nothing of theirs is executed, and a path of Windows is no trouble on Linux.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edgevit.core.disk.archive import check_zip, is_zip
from edgevit.core.disk.reading import reading
from edgevit.core.errors import InputError

_SEARCHED: Final = 32 << 20  # bytes of a pickle in which names are looked for
_SAVE: Final = "torch.save(model.state_dict(), 'weights.pth')"


class Ignored:
    """Stands for a value that is no weight; takes every argument and state, and keeps nothing."""

    def __new__(cls, *_: object) -> Ignored:
        return object.__new__(cls)

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


class PickledModule(Ignored):
    """Stands for a module of torch.nn that was pickled as an object, with its tensors."""


def _mapping(*_: object) -> dict[object, object]:
    """Stands for the class of a mapping that is called with arguments."""
    return {}


def _sequence(*_: object) -> list[object]:
    """Stands for the class of a sequence."""
    return []


_PATHS: Final = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path", "PurePath")
_VALUES: Final = (
    "types.SimpleNamespace",
    *(f"{module}.{name}" for module in ("pathlib", "pathlib._local") for name in _PATHS),
    *(
        f"numpy.{module}.multiarray.{name}"
        for module in ("core", "_core")
        for name in ("scalar", "_reconstruct")
    ),
    "numpy.dtype",
    "numpy.ndarray",
    "datetime.datetime",
    "datetime.timedelta",
    "functools.partial",
    "torch.torch_version.TorchVersion",
    "typing.Any",
    *(
        f"builtins.{name}"
        for name in (
            "bool",
            "bytes",
            "dict",
            "float",
            "frozenset",
            "int",
            "list",
            "range",
            "slice",
            "str",
            "tuple",
        )
    ),
    *(f"omegaconf.base.{name}" for name in ("ContainerMetadata", "Metadata")),
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    *(
        f"omegaconf.nodes.{name}Node"
        for name in ("Any", "Boolean", "Bytes", "Enum", "Float", "Integer", "Path", "String")
    ),
    "mmengine.logging.history_buffer.HistoryBuffer",
    *(  # keys of `callbacks` before Lightning 1.5
        f"pytorch_lightning.callbacks.{name}"
        for name in ("early_stopping.EarlyStopping", "model_checkpoint.ModelCheckpoint")
    ),
)
_MAPPINGS: Final = (
    "addict.addict.Dict",
    "easydict.EasyDict",
    "lightning.fabric.utilities.data.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "mmengine.config.config.ConfigDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "yacs.config.CfgNode",
)
_STAND_INS: Final[tuple[tuple[Callable[..., object], str], ...]] = (
    *((Ignored, name) for name in _VALUES),
    *((OrderedDict, name) for name in _MAPPINGS),
    (Namespace, "argparse.Namespace"),  # itself: timm's train.py keeps its flags in one
    (_mapping, "collections.defaultdict"),
    (_sequence, "collections.deque"),
)


def _stand_ins() -> list[tuple[Callable[..., object], str]]:
    """What stands in for each name: also PyTorch's own layers and optimizers.

    `save_hyperparameters` of Lightning keeps them as classes, in partials and as objects.
    """
    import torch

    def names(module: object, base: type) -> list[str]:
        found = [c for c in vars(module).values() if isinstance(c, type) and issubclass(c, base)]
        return [f"{c.__module__}.{c.__qualname__}" for c in found]

    optimizers = torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler
    return [
        *_STAND_INS,
        *((PickledModule, name) for name in names(torch.nn, torch.nn.Module)),
        *((Ignored, name) for name in names(torch.optim, optimizers[0])),
        *((Ignored, name) for name in names(torch.optim.lr_scheduler, optimizers[1])),
    ]


def unpickle(path: Path) -> object:
    """What torch.save wrote, on the CPU.

    Raises:
        InputError: damaged, compressed, or a pickle with a class or function that is not known to be harmless. The
            message says whether it is a whole module.
    """
    import pickle

    import torch

    check_zip(path, stored_only=True)
    try:
        with (
            reading(path, "PyTorch checkpoint", passing=(pickle.UnpicklingError,)),
            torch.serialization.safe_globals([*_stand_ins()]),
            warnings.catch_warnings(action="ignore"),
            path.open("rb") as file,  # of a path, torch.load looks at the ending
        ):
            loaded: object = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # PyTorch's own text advises to load it with less care; it is not passed on.
        raise _refused(path, str(error)) from error
    if isinstance(loaded, PickledModule):
        raise whole_module(path, "torch.nn")
    return loaded


def bare_pickle(path: Path) -> InputError:
    """The error for a pickle that torch.save did not write, with the first thing that it would import."""
    wanted = _first_global(path)
    if wanted is None:
        return InputError(
            f"{path} is a pickle that torch.save did not write", f"save the weights alone: {_SAVE}"
        )
    return _wants(path, wanted)


def _refused(path: Path, said: str) -> InputError:
    found = re.search(r"GLOBAL ([\w.]+)", said)
    # The older form of torch.save kept the source of each module's class, which PyTorch does not read.
    named = found[1] if found else "torch.nn" if "persistent_load" in said else None
    if named is None and "Unsupported operand" in said:
        return InputError(
            f"{path} is not a readable PyTorch checkpoint: its pickle protocol is newer than the one that is read",
            f"save it without pickle_protocol=: {_SAVE}",
        )
    if named is None:
        return InputError(
            f"{path} is not a readable PyTorch checkpoint: not a pickle of tensors",
            f"save the weights alone: {_SAVE}",
        )
    content = _pickled(path)
    if b"hyper_parameters" in content and b"state_dict" in content:
        return InputError(
            f"{path} is refused: its hyper_parameters, which Lightning keeps beside the weights, hold {named}, and "
            "loading that would execute code",
            "take the weights out where its code is and you trust it: torch.save(torch.load("
            f"{path.name!r}, weights_only=False)['state_dict'], 'weights.pth')",
        )
    if all(name in content for name in (b"_parameters", b"_buffers", b"_modules")):
        return whole_module(path, f"{named} among others")
    return _wants(path, named)


def whole_module(path: Path, of: str) -> InputError:
    """The error for modules that were pickled with their code.

    Args:
        of: what it is made of.
    """
    return InputError(
        f"{path} is refused: it holds a whole pickled module, of {of}, and loading it would execute code",
        f"load it where its code is and you trust it, and save the weights alone: {_SAVE}",
    )


def _wants(path: Path, wanted: str) -> InputError:
    return InputError(
        f"{path} is refused: as a pickle it wants to use {wanted}, and only plain tensors are read",
        "save just the state_dict, best as .safetensors; edgevit has no switch to load it anyway",
    )


def _pickled(path: Path) -> bytes:
    """The beginning of the pickle, in which names are looked for."""
    with reading(path, "PyTorch checkpoint"):
        if is_zip(path):
            with zipfile.ZipFile(path) as archive:
                name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
                with archive.open(name) as member:
                    return member.read(_SEARCHED)
        with path.open("rb") as file:
            return file.read(_SEARCHED)


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
