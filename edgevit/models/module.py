"""A module in memory: `edgevit.convert(module)` exports it to a file for the steps, which are other processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgevit.core.errors import UsageError
from edgevit.core.outputs import LOGITS_NAME
from edgevit.core.plugins import LoadRequest, NotFromPlan, Source
from edgevit.core.types import TensorSpec, TorchModel
from edgevit.models._in_memory import read_beside
from edgevit.models._request import refuse
from edgevit.models._spec import build
from edgevit.models.exported import open_program

if TYPE_CHECKING:
    import torch


def load(request: LoadRequest) -> TorchModel:
    """Open the program that was exported from it; preprocessing and class names stand beside it.

    Args:
        request: `argument` is the module's class, `weights` the program.

    Raises:
        UsageError: named on the command line, where there is no module in memory.
        InputError, UnsupportedError: as for any .pt2.
    """
    refuse(request, "the module has its weights and its head", "random_weights", "num_classes", "model_args")
    if request.weights is None:
        raise UsageError(
            f"{request.source} is a module in the memory of a Python program",
            "call edgevit.convert(module) there; here, name python:FILE:FACTORY, or a FILE.pt2 of torch.export.save",
        )
    program, *_ = open_program(request.weights)
    beside = read_beside(request.weights)
    return build(
        _named(program, beside.outputs),
        name=request.argument.rpartition(".")[2],
        source=request.source,
        preprocess=beside.preprocess,
        preprocess_origin=beside.origin,
        weights_origin="the module in memory, as it was given",
        labels=request.labels or beside.labels,
        problem_type=beside.problem_type,
    )


def _named(program: torch.nn.Module, outputs: tuple[TensorSpec, ...]) -> torch.nn.Module:
    """The program with the names that the module's outputs had."""
    import torch

    if len(outputs) == 1 and len(outputs[0].shape) <= 2:
        program.num_classes = int(outputs[0].name == LOGITS_NAME)  # type: ignore[assignment]
        return program

    class Named(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = program

        def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
            found = self.model(image)
            values = (found,) if isinstance(found, torch.Tensor) else found
            return dict(zip((spec.name for spec in outputs), values, strict=True))

    return Named()


SOURCE: Final = Source(
    summary="a torch.nn.Module in memory, from Python: edgevit.convert(module)",
    syntax="module:CLASS",
    load=load,
    isolated=lambda argument: True,
    prunable=False,
    name=lambda argument: argument.rpartition(".")[2],  # a class with its package
    not_from_plan=NotFromPlan(
        "a module in the memory of a Python program",
        "give it again there: edgevit.convert(module, plan={plan!r})",
    ),
)
