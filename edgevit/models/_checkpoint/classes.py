"""How many classes a head gets where `--num-classes` does not say: as many as the labels, or as the weights.

Labels and weights may contradict each other, and both may contradict what was asked for; then nothing is
guessed. A head whose weights nobody gives is never made smaller or larger than its publisher's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core.disk.archive import check_zip
from edgevit.core.disk.reading import reading
from edgevit.core.disk.regular import regular_file
from edgevit.core.errors import InputError
from edgevit.core.plugins import LoadRequest
from edgevit.models._checkpoint.choose import Chosen

if TYPE_CHECKING:
    import torch

    State = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Classes:
    """What the head is made for.

    Attributes:
        number: of classes.
        notes: where the number was taken from, one sentence; empty where it is the architecture's own.
    """

    number: int
    notes: tuple[str, ...] = ()


def settle(request: LoadRequest, own: int, stored: int | None, where: str) -> Classes:
    """The number of classes from the flags, the labels and the weights.

    Args:
        own: what the architecture has as it was asked for, 0 without a head.
        stored: what the classifier in the weights has; None where there are none, or it was not found.
        where: the weights, for messages.

    Raises:
        InputError: two of them contradict each other; the hint has the `--num-classes` that would do.
    """
    labels = len(request.labels)
    if own == 0:
        return Classes(own)
    if request.num_classes is not None:
        if stored not in (None, request.num_classes):
            raise InputError(
                f"the classifier in {where} has {stored} classes, --num-classes asks for {request.num_classes}",
                f"give --num-classes {stored}, or leave it out",
            )
        return Classes(own)
    if stored is not None:
        if labels and not _named_by(labels, stored):
            raise InputError(
                f"{labels} labels, but the classifier in {where} has {stored} classes",
                "--labels takes a file with one class name a line, in index order; these weights need "
                f"{stored} of them (--num-classes {stored})",
            )
        notes = (f"the head has {stored} classes, as {where} does, and not the {own} of the architecture",)
        return Classes(stored, notes if stored != own else ())
    if not labels or _named_by(labels, own):
        return Classes(own)
    if request.weights is None and request.random_weights is None:
        raise InputError(
            f"{labels} labels, but the published weights of {request.source} have {own} classes",
            f"give {own} labels, or --num-classes {labels} with the --weights of a head that was trained for them",
        )
    return Classes(
        labels, (f"the head has {labels} classes, as --labels does, and not the {own} of the architecture",)
    )


def stored_classes(request: LoadRequest, heads: Sequence[str], chosen: Chosen | None = None) -> int | None:
    """Rows of the classifier in the file of `--weights`; None without it, and where none of `heads` is in it.

    Args:
        heads: paths of the modules that may be the classifier.
        chosen: the model's part of the file; None for an archive of NumPy arrays.

    Raises:
        InputError: the file cannot be read.
    """
    if request.weights is None or request.random_weights is not None:
        return None
    return _of_jax(request.weights) if chosen is None else rows(chosen.state, heads)


def rows(state: State, heads: Sequence[str]) -> int | None:
    """Output features of the first of `heads` that `state` has a weight for."""
    weights = (state.get(f"{head}.weight") for head in heads)
    return next((int(w.shape[0]) for w in weights if w is not None and w.ndim >= 2), None)


def last_layers(module: torch.nn.Module, classes: int) -> tuple[str, ...]:
    """Paths of the layers with so many outputs, the last one first: what the classifier is likely called."""
    import torch

    found = []
    for path, layer in module.named_modules():
        outputs = getattr(layer, "out_features", getattr(layer, "out_channels", None))
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d) and outputs == classes:
            found.append(path)
    return tuple(reversed(found))


def _named_by(labels: int, outputs: int) -> bool:
    """One name for each output, or two for a single one: no and yes."""
    return labels == outputs or (labels, outputs) == (2, 1)


def _of_jax(path: Path) -> int | None:
    """Of a checkpoint of Google's JAX ViT."""
    import numpy as np

    check_zip(regular_file(path, "weights file"), stored_only=False)
    with reading(path, "JAX checkpoint"), np.load(path, allow_pickle=False) as arrays:
        return int(arrays["head/bias"].shape[0]) if "head/bias" in arrays.files else None
