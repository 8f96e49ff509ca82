"""A program that `torch.export.save` wrote: `FILE.pt2`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgevit.core.errors import EdgevitError, InputError, StepError, UnsupportedError, UsageError
from edgevit.core.foreign import brief
from edgevit.core.plugins import LoadRequest, Source
from edgevit.core.types import TorchModel
from edgevit.models._checkpoint.weights import check_finite
from edgevit.models._origin import not_stated
from edgevit.models._preprocess import for_channels, imagenet
from edgevit.models._pt2.archive import clean_copy
from edgevit.models._request import refuse
from edgevit.models._spec import build

if TYPE_CHECKING:
    import torch


def load(request: LoadRequest) -> TorchModel:
    """Open the program as modules with its original paths.

    The file knows nothing of images but their size: `--preprocess` must give mean and std.

    Raises:
        UsageError: no mean and std, or another size than the program's.
        InputError: unreadable, wanting to run code, or holding NaN.
        UnsupportedError: a program that is not one float32 image in.
    """
    refuse(
        request,
        "the program and its weights are fixed",
        "weights",
        "random_weights",
        "num_classes",
        "model_args",
    )
    path = Path(request.argument)
    module, size, channels = open_program(path)
    if request.image_size not in (None, size):
        raise UsageError(f"{path} takes {size[0]}x{size[1]} images and no other", "leave out --image-size")
    preprocess, origin = not_stated(
        request,
        size,
        "a saved program keeps neither mean nor std",
        for_channels(imagenet(size), channels),
    )
    try:
        return build(
            module,
            name=path.stem,
            source=request.source,
            preprocess=preprocess,
            preprocess_origin=origin,
            labels=request.labels,
        )
    except StepError as error:  # nobody's code but the file's ran
        raise InputError(f"{path}: {error.message}", "export it again, from a model that runs") from error


def open_program(path: Path) -> tuple[torch.nn.Module, tuple[int, int], int]:
    """The program as modules, for any batch, the (height, width) of its image, and how many channels it has.

    Raises:
        InputError: unreadable, wanting to run code, or holding NaN.
        UnsupportedError: a program that is not one float32 image in.
    """
    import torch

    with tempfile.TemporaryDirectory(prefix="edgevit-") as folder:
        checked = clean_copy(path, Path(folder))
        try:
            program = torch.export.load(checked)
            batch, size, channels = _input(program, path)
            module: torch.nn.Module = torch.export.unflatten(program)
        except (EdgevitError, MemoryError):
            raise
        except Exception as error:  # a graph that doesn't hang together fails in a hundred ways
            raise InputError(
                f"{path} is not a readable .pt2 file: {_reason(error)}",
                "write it again with torch.export.save",
            ) from error
    check_finite(module, str(path))
    return (_one_by_one(module) if batch == 1 else module), size, channels


def _reason(error: Exception) -> str:
    import torch

    if "error when deserializing" in str(error):  # PyTorch says why in its log alone
        return f"its graph does not hang together, or a PyTorch newer than {torch.__version__} wrote it"
    return brief(error)


def _input(program: torch.export.ExportedProgram, path: Path) -> tuple[int | None, tuple[int, int], int]:
    """The batch size, None if it may vary, (height, width), and the number of channels."""
    import torch

    names = program.graph_signature.user_inputs
    nodes = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    value = nodes[0].meta.get("val") if len(nodes) == 1 else None
    if not isinstance(value, torch.Tensor) or value.ndim != 4 or value.dtype != torch.float32:
        raise UnsupportedError(
            f"{path} must take one float32 tensor (N, channels, height, width)", "export it that way"
        )
    batch, channels, height, width = value.shape
    if not isinstance(height, int) or not isinstance(width, int) or not isinstance(channels, int):
        raise UnsupportedError(
            f"{path} takes {tuple(value.shape)}, not (N, channels, height, width) of fixed size",
            "export it with one image tensor, such as torch.zeros(1, 3, 224, 224)",
        )
    if isinstance(batch, int) and batch != 1:
        raise UnsupportedError(
            f"{path} was exported for batches of {batch}", "export it with batch 1 or a dynamic one"
        )
    return (batch if isinstance(batch, int) else None), (height, width), channels


def _one_by_one(inner: torch.nn.Module) -> torch.nn.Module:
    import torch
    from torch.utils import _pytree

    class OneByOne(torch.nn.Module):
        """A program of batch 1 for any batch; its modules' paths gain the prefix `model.`."""

        def __init__(self) -> None:
            super().__init__()
            self.model = inner

        def forward(self, image: torch.Tensor) -> object:
            if image.shape[0] == 1:
                return self.model(image)
            rows = [self.model(row) for row in torch.split(image, 1)]
            return _pytree.tree_map(
                lambda *parts: torch.cat(parts) if isinstance(parts[0], torch.Tensor) else parts[0], *rows
            )

    return OneByOne()


SOURCE: Final = Source(
    summary="a program written by torch.export.save",
    syntax="FILE.pt2",
    load=load,
    isolated=lambda argument: True,
    prunable=False,
    name=lambda argument: argument.removesuffix(".pt2"),
    path=str,
    self_contained=lambda argument, weights: True,
)
