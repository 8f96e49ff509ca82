"""What the first output of a model or a file is, from its last operations, confirmed on what it gave for images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgevit.core.errors import InputError, UsageError
from edgevit.core.outputs import (
    Activation,
    OutputKind,
    class_count,
    last_activation,
    seen_activation,
    within_unit,
)
from edgevit.core.results.report import Limits
from edgevit.core.runner import Contents

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch.export import ExportedProgram

    from edgevit.core.types import Floats, LabelledOutput, ModelSpec


def model_kind(known: OutputKind, program: ExportedProgram, outputs: NDArray[np.floating]) -> OutputKind:
    """Complete what the model's source knows of its first output.

    Args:
        known: task, and the activation "none".
        outputs: the first output on images, float32 (N, ...).
    """
    return _completed(known, program_activation(program), outputs)


def head_kinds(
    spec: ModelSpec, program: ExportedProgram, outputs: Mapping[str, Floats]
) -> dict[str, LabelledOutput]:
    """The same for the further outputs with class names."""
    found = {}
    for index, output in enumerate(spec.outputs):
        if output.name in spec.heads:
            head, last = spec.heads[output.name], program_activation(program, index)
            found[output.name] = replace(head, output=_completed(head.output, last, outputs[output.name]))
    return found


def file_kind(contents: Contents, outputs: NDArray[np.floating]) -> OutputKind:
    """What a file's output is: as the file says; else from its columns, its last operator and its values."""
    if contents.output is not None:
        return contents.output
    if outputs.ndim > 2:
        return OutputKind("features")
    known = OutputKind("binary") if outputs[0].size == 1 else OutputKind("single-label")
    return _completed(known, contents.activation, outputs)


def _completed(known: OutputKind, last: Activation, outputs: NDArray[np.floating]) -> OutputKind:
    """With the activation.

    A softmax, or its logarithm, is proved by the values alone, whatever operations made it: rows that are
    distributions. A sigmoid needs the operation and values within 0 and 1; of a single column, a class
    picked from a softmax counts as one. A sigmoid over several columns makes them independent labels.
    """
    if not known.decides:
        return known
    if known.task != "binary":
        seen = seen_activation(outputs)
        if seen != "none":
            return OutputKind("single-label", seen)
    if not within_unit(outputs):
        return known
    if known.task == "binary" and last in ("sigmoid", "softmax"):
        return OutputKind("binary", "sigmoid")
    return OutputKind("multi-label", "sigmoid") if last == "sigmoid" else known


def program_activation(program: ExportedProgram, index: int = 0) -> Activation:
    """The activation that an output of a program comes from."""
    import torch

    def maker(node: torch.fx.Node) -> tuple[str, torch.fx.Node] | None:
        source = next(iter(node.args), None)
        if node.op != "call_function" or not isinstance(source, torch.fx.Node):
            return None
        packet = getattr(node.target, "overloadpacket", node.target)
        return str(getattr(packet, "__name__", "")), source

    output = next(n for n in program.graph_module.graph.nodes if n.op == "output")
    return last_activation(output.args[0][index], maker)


def refuse_limits(limits: Limits, kind: OutputKind) -> None:
    """Refuse limits on what such an output does not have.

    Raises:
        UsageError: a limit on accuracy or agreement where nothing is decided.
    """
    given = {"--max-drop": limits.max_drop, "--min-agreement": limits.min_agreement}
    flag = next((flag for flag, value in given.items() if value is not None), None)
    if flag is not None and not kind.decides:
        raise UsageError(
            f"{flag} needs classes, but this model gives {kind.words}",
            "use --min-sqnr DB, which every model has",
        )


def check_classes(labels: Sequence[int] | None, spec: ModelSpec, where: str) -> None:
    """Hold the classes of images against those of the model.

    Raises:
        InputError: a class that the model does not have.
    """
    if not labels or not spec.output.decides:
        return
    classes = class_count(spec.output, spec.outputs[0].shape[-1])
    highest = max(labels)
    if highest >= classes:
        description = (
            "decides between 2 classes" if spec.output.task == "binary" else f"has {classes} classes"
        )
        raise InputError(
            f"{where} has images of {highest + 1} classes, but the model {description}",
            "leave out the folders that are no class of it, or name its classes with --labels FILE",
        )
