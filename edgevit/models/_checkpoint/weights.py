"""Put tensors into a module so that every name and shape fits, or say what does not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core.disk.archive import check_zip
from edgevit.core.disk.reading import reading
from edgevit.core.disk.regular import regular_file
from edgevit.core.errors import InputError, UnsupportedError, UsageError
from edgevit.models._checkpoint.adapted import Asked, check_adapted
from edgevit.models._checkpoint.candidates import Adapt
from edgevit.models._checkpoint.choose import Chosen, choose
from edgevit.models._checkpoint.files import is_jax, read_contents
from edgevit.models._checkpoint.heads import bare_heads, named_as
from edgevit.models._checkpoint.mismatch import HINT, compare_names, shape_error, some
from edgevit.models._checkpoint.parts import State
from edgevit.models._checkpoint.resample import resample

if TYPE_CHECKING:
    import torch


def choose_weights(
    module: torch.nn.Module, path: Path, key: str | None = None, adapt: Adapt | None = None
) -> Chosen | None:
    """The part of a checkpoint that is the model's; None for an archive of NumPy arrays, which timm reads itself.

    Args:
        key: `--weights-key`.
        adapt: from a publisher's names to the module's; tried only if the names don't fit as they are.

    Raises:
        UsageError: `key` names nothing in the file.
        InputError: unreadable, or for another architecture.
    """
    if is_jax(path):
        if key is not None:
            raise UsageError(f"--weights-key {key}: {path} has no parts", "leave it out")
        return None
    heads = bare_heads(module)

    def rename(state: State) -> State:
        return named_as(heads, state if adapt is None else adapt(state))

    return choose(path, read_contents(path), module.state_dict(), key, rename)


def load_weights(
    module: torch.nn.Module,
    path: Path,
    adapt: Adapt | None = None,
    asked: Asked | None = None,
    chosen: Chosen | None = None,
) -> tuple[str, ...]:
    """Fill `module` from a file; returns what had to be changed for it, one sentence each.

    Position embeddings for another image size are resampled where the user named the size.

    Args:
        module: changed in place.
        path: as `read_contents`, or .npz (JAX ViT, read by timm's own loader).
        adapt: from a publisher's names to the module's; tried only if the names don't fit as they are.
        asked: the size of the module's images; None if it has none.
        chosen: what `choose_weights` found in it already.

    Raises:
        InputError: unreadable, for another architecture or image size, or with NaN or infinite values.
    """
    chosen = chosen or choose_weights(module, path, None, adapt)
    if chosen is None:
        notes: tuple[str, ...] = ()
        given = _load_jax(module, path)
    else:
        given, state, notes = chosen.given, chosen.state, chosen.notes
        if adapt is not None and state is given and _reshaped(module, state):
            state = adapt(dict(state))
        if asked is not None and _reshaped(module, state):
            state = resample(state, module.state_dict(), asked.size)
        fill(module, state, str(path))
    check_finite(module, str(path))
    return (*notes, *check_adapted(given, module.state_dict(), path.name, asked))


def _reshaped(module: torch.nn.Module, state: Mapping[str, torch.Tensor]) -> bool:
    wanted = module.state_dict()
    return any(name not in wanted or wanted[name].shape != value.shape for name, value in state.items())


def fill(module: torch.nn.Module, state: Mapping[str, torch.Tensor], where: str) -> None:
    """Copy `state` into `module`; `where` names its origin in messages.

    Raises:
        InputError: names or shapes differ, or numbers of another kind (integers, sparse) stand for floats.
    """
    wanted = module.state_dict()
    different = compare_names(state, wanted)
    if different:
        raise InputError(f"the weights in {where} are for another architecture: {different}", HINT)
    other = shape_error(where, state, wanted)
    if other is not None:
        raise other
    odd = [
        f"{name} ({kind})" for name, t in wanted.items() if name in state and (kind := _odd(state[name], t))
    ]
    if odd:
        raise InputError(
            f"{len(odd)} tensors in {where} are no plain numbers of the model's kind: {some(odd)}",
            "give the float checkpoint; edgevit quantizes it itself",
        )
    module.load_state_dict(dict(state), strict=False)


def _odd(given: torch.Tensor, wanted: torch.Tensor) -> str:
    """Why a tensor of a file cannot be copied exactly; "" if it can."""
    import torch

    if given.is_quantized:
        return "quantized"
    if given.layout is not torch.strided or given.is_nested:
        return "sparse"
    if given.device.type != "cpu":
        return "without values"
    if wanted.is_floating_point() and not given.is_floating_point():
        return str(given.dtype).removeprefix("torch.")
    return ""


def check_finite(module: torch.nn.Module, where: str) -> None:
    """Refuse parameters and norm statistics with NaN or infinite values.

    Raises:
        InputError: naming the tensors. Other buffers may hold -inf (attention masks do).
    """
    import torch

    tensors = {**dict(module.named_parameters()), **_statistics(module)}
    bad = [n for n, t in tensors.items() if t.is_floating_point() and not bool(torch.isfinite(t).all())]
    if bad:
        raise InputError(
            f"{len(bad)} tensors in {where} hold NaN or infinite values: {some(bad)}",
            "give a checkpoint without them, such as an earlier one of the same training",
        )


def _statistics(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    ends = ("running_mean", "running_var")
    return {name: tensor for name, tensor in module.named_buffers() if name.endswith(ends)}


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
        if not blocks:
            raise InputError(
                f"{path} is no checkpoint of a JAX vision transformer, which .npz is read as: it has no encoderblock_0",
                "save arrays under PyTorch's names as .safetensors: safetensors.numpy.save_file(arrays, FILE)",
            )
        if len(blocks) != have:
            raise InputError(
                f"{path} is for another architecture: {len(blocks)} blocks, the model has {have}",
                "name the model that these weights were trained for",
            )
        # timm's loader leaves alone what the file lacks; NaN makes that visible.
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.fill_(float("nan"))
        load(str(path))
    untouched = [n for n, parameter in module.named_parameters() if bool(torch.isnan(parameter).all())]
    if untouched:
        raise InputError(
            f"{path} lacks what the model needs (or holds NaN): {some(untouched)}",
            "--num-classes 0 drops the classifier; --num-classes N must be the file's",
        )
    sized = {"posembed_input/pos_embedding": "pos_embed", "embedding/kernel": "patch_embed.proj.weight"}
    for end, name in sized.items():
        for key in [key for key in given if key.endswith(end)]:
            value = given.pop(key)
            given[name] = value.permute(3, 2, 0, 1) if value.ndim == 4 else value
    return given
