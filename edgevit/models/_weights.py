"""Put tensors into a module so that every name and shape fits, or say what does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core.archive import check_zip
from edgevit.core.errors import InputError, UnsupportedError
from edgevit.core.reading import reading
from edgevit.core.regular import regular_file
from edgevit.models._adapted import Asked, check_adapted
from edgevit.models._files import read_weights
from edgevit.models._resample import resample

if TYPE_CHECKING:
    import torch

_SHOWN = 5
# A counter that batch norm keeps for training; publishers often leave it out.
_OPTIONAL = ".num_batches_tracked"

Adapt = Callable[["dict[str, torch.Tensor]"], "dict[str, torch.Tensor]"]


def load_weights(
    module: torch.nn.Module, path: Path, adapt: Adapt | None = None, asked: Asked | None = None
) -> tuple[str, ...]:
    """Fill `module` from a file; returns what had to be changed for it, one sentence each.

    Position embeddings for another image size are resampled where the user named the size.

    Args:
        module: changed in place.
        path: .safetensors, .pth, .pt, or .npz (JAX ViT, read by timm's own loader).
        adapt: from a publisher's names to the module's; tried only if the names don't fit as they are.
        asked: the size of the module's images; None if it has none.

    Raises:
        InputError: unreadable, for another architecture or image size, or with NaN or infinite values.
    """
    if path.suffix == ".npz":
        given = _load_jax(module, path)
    else:
        given = state = read_weights(path)
        if adapt is not None and differences(module, state):
            state = adapt(state)
        if asked is not None and differences(module, state):
            state = resample(state, module.state_dict(), asked.size)
        fill(module, state, str(path))
    check_finite(module, str(path))
    return check_adapted(given, module.state_dict(), path.name, asked)


def fill(module: torch.nn.Module, state: Mapping[str, torch.Tensor], where: str) -> None:
    """Copy `state` into `module`; `where` names its origin in messages.

    Raises:
        InputError: names or shapes differ; the message lists the first of each kind and counts them.
    """
    different = differences(module, state)
    if different:
        raise InputError(
            f"the weights in {where} are for another architecture: {'; '.join(different)}",
            "check the model's name, --num-classes, --image-size and --model-arg",
        )
    module.load_state_dict(dict(state), strict=False)


def differences(module: torch.nn.Module, state: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """What does not fit, one text for missing names, unexpected names and other shapes; empty if all fits."""
    wanted = module.state_dict()
    missing = [name for name in wanted if name not in state and not name.endswith(_OPTIONAL)]
    unexpected = [name for name in state if name not in wanted]
    reshaped = [
        f"{name} ({tuple(state[name].shape)} in the file, {tuple(tensor.shape)} in the model)"
        for name, tensor in wanted.items()
        if name in state and state[name].shape != tensor.shape
    ]
    return describe(missing, unexpected, reshaped)


def describe(missing: Sequence[str], unexpected: Sequence[str], reshaped: Sequence[str]) -> tuple[str, ...]:
    """Word a mismatch: the first few of each kind and their number."""
    kinds = (("missing", missing), ("unexpected", unexpected), ("of another shape", reshaped))
    return tuple(f"{len(names)} {kind}: {_some(names)}" for kind, names in kinds if names)


def check_finite(module: torch.nn.Module, where: str) -> None:
    """Refuse parameters and norm statistics with NaN or infinite values.

    Raises:
        InputError: naming the tensors. Other buffers may hold -inf (attention masks do).
    """
    import torch

    tensors = {**dict(module.named_parameters()), **_statistics(module)}
    bad = [n for n, t in tensors.items() if t.is_floating_point() and not bool(torch.isfinite(t).all())]
    if bad:
        raise InputError(f"{len(bad)} tensors in {where} hold NaN or infinite values: {_some(bad)}")


def _statistics(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    ends = ("running_mean", "running_var")
    return {name: tensor for name, tensor in module.named_buffers() if name.endswith(ends)}


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _load_jax(module: torch.nn.Module, path: Path) -> dict[str, torch.Tensor]:
    """Google's JAX ViT checkpoints, through timm's `load_pretrained` of that architecture.

    Returns the file's tensors, those that depend on the image size and the patch under the module's names.
    """
    import re

    import numpy as np
    import torch

    load = getattr(module, "load_pretrained", None)
    if load is None:
        raise UnsupportedError(
            f"{type(module).__name__} cannot be filled from {path}: .npz is for timm's vision transformers",
            "convert them to .safetensors",
        )
    check_zip(regular_file(path, "weights file"), stored_only=False)
    with reading(path, "JAX checkpoint of this vision transformer"):
        with np.load(path, allow_pickle=False) as arrays:
            names = list(arrays.files)
            given = {name: torch.from_numpy(arrays[name]) for name in names}
        blocks = {int(found[1]) for name in names if (found := re.search(r"encoderblock_(\d+)/", name))}
        have = len(getattr(module, "blocks", ()))
        if len(blocks) != have:
            raise InputError(
                f"{path} is for another architecture: {len(blocks)} blocks, the model has {have}"
            )
        # timm's loader leaves alone what the file lacks; NaN makes that visible.
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.fill_(float("nan"))
        load(str(path))
    untouched = [n for n, parameter in module.named_parameters() if bool(torch.isnan(parameter).all())]
    if untouched:
        raise InputError(
            f"{path} lacks what the model needs (or holds NaN): {_some(untouched)}",
            "--num-classes 0 drops the classifier; --num-classes N must be the file's",
        )
    sized = {"posembed_input/pos_embedding": "pos_embed", "embedding/kernel": "patch_embed.proj.weight"}
    for end, name in sized.items():
        for key in [key for key in given if key.endswith(end)]:
            value = given.pop(key)
            given[name] = value.permute(3, 2, 0, 1) if value.ndim == 4 else value
    return given
