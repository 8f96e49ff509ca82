"""What a module in memory is, apart from its program, and a copy of it that may be changed."""

from __future__ import annotations

import copy
import json
import sys
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core._plain import from_plain, to_plain
from edgevit.core.disk.documents import read_json
from edgevit.core.errors import InputError
from edgevit.core.foreign import printable
from edgevit.core.plugins import LoadRequest
from edgevit.core.types import Preprocess, TensorSpec, TorchModel
from edgevit.models._factory import unwrapped
from edgevit.models._hf.config import class_names
from edgevit.models._hf.model import check_takes_images, images_alone, is_classifier, tensors
from edgevit.models._hf.preprocess import preprocess_of
from edgevit.models._spec import build
from edgevit.models.python import preprocess_of_module

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Beside:
    """What a program does not keep of its module; a JSON file beside the program.

    Attributes:
        outputs: in the order of the program's.
        origin: where `preprocess` was taken from.
        labels: class names of a Hugging Face configuration.
        problem_type: as for `build`.
    """

    outputs: tuple[TensorSpec, ...]
    preprocess: Preprocess
    origin: str
    labels: tuple[str, ...] = ()
    problem_type: str | None = None


def class_of(module: object) -> str:
    """The class of the module inside of torch.compile and DataParallel, with its package: `torchvision.models.ResNet`.

    Raises:
        InputError: it is no module that could be exported.
    """
    kind = type(unwrapped(module, "the model given"))
    return printable(f"{kind.__module__}.{kind.__qualname__}")


def prepared(given: object, request: LoadRequest) -> tuple[TorchModel, Beside]:
    """A copy of the module in eval mode, float32 and on the CPU, that was looked at; the one given is not touched.

    Args:
        request: `image_size` and `preprocess` count.

    Raises:
        InputError: it is no module, cannot be copied, or is one that `build` refuses.
        UsageError: it does not say how images are prepared, and neither does `request`.
        StepError: its forward pass fails on an image of this size.
        UnsupportedError: a model of transformers that takes something else than an image.
    """
    inner = _copy(unwrapped(given, "the model given"))
    transformers = sys.modules.get("transformers")  # a model of that library cannot exist without it
    labels: tuple[str, ...] = ()
    problem: str | None = getattr(inner, "problem_type", None)
    if transformers is not None and isinstance(inner, transformers.PreTrainedModel):
        check_takes_images(type(inner))
        preprocess, origin = preprocess_of(inner.config, lambda name: {}, request)
        if is_classifier(type(inner)):
            labels, problem = class_names(inner.config), inner.config.problem_type
        inner = tensors(images_alone(inner))
    else:
        preprocess, origin = preprocess_of_module(inner, request)
    model = build(
        inner,
        name=request.argument,
        source=request.source,
        preprocess=preprocess,
        labels=labels,
        problem_type=problem,
    )
    return model, Beside(model.spec.outputs, preprocess, origin, labels, problem)


def write_beside(program: Path, beside: Beside) -> None:
    """Write what `read_beside` reads."""
    program.with_suffix(".json").write_text(json.dumps(to_plain(beside)), encoding="utf-8")


def read_beside(program: Path) -> Beside:
    """What stands beside a program.

    Raises:
        InputError: nothing, or something else.
    """
    path = program.with_suffix(".json")
    return from_plain(Beside, read_json(path, "the description of a module"), str(path))


def _copy(module: torch.nn.Module) -> torch.nn.Module:
    """A deep copy whose tensors are on the CPU from the start, floating ones in float32; ties stay ties."""
    import torch

    memo: dict[int, object] = {}
    for tensor in chain(module.parameters(), module.buffers()):
        kind = torch.float32 if tensor.is_floating_point() else tensor.dtype
        value = tensor.detach().to("cpu", kind, copy=True)
        memo[id(tensor)] = (
            torch.nn.Parameter(value, False) if isinstance(tensor, torch.nn.Parameter) else value
        )
    try:
        return copy.deepcopy(module, memo).eval()
    except Exception as error:  # whatever hangs on a module may refuse to be copied, in its own way
        said = " ".join(str(error).split())[:200]
        raise InputError(
            f"the model given cannot be copied: {type(error).__name__}: {said}",
            "give the network alone, such as the one inside of a LightningModule, without loaders, loggers and hooks",
        ) from error
