"""From a module with its weights to a `TorchModel`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgevit.core.disk.digest import module_digest
from edgevit.core.errors import InputError, UnsupportedError
from edgevit.core.foreign import printable
from edgevit.core.outputs import LOGITS_NAME, OutputKind, class_count
from edgevit.core.types import ModelSpec, Preprocess, TensorSpec, TorchModel
from edgevit.models._flatten import is_flat, named_tensors, picking
from edgevit.models._probe import forward
from edgevit.models._repeatable import check_repeatable

if TYPE_CHECKING:
    import torch


def build(
    module: torch.nn.Module,
    *,
    name: str,
    source: str,
    preprocess: Preprocess,
    preprocess_origin: str = "",
    weights_origin: str = "",
    warnings: tuple[str, ...] = (),
    labels: tuple[str, ...] = (),
    problem_type: str | None = None,
    author: str = "",
    license: str = "",
) -> TorchModel:
    """Put `module` into eval mode, look at its outputs on one zero image, and describe it.

    Args:
        module: maps float32 (N, 3, height, width) to a tensor, or to tensors in tuples, lists, mappings and
            dataclasses (see `_flatten`); one that gives a mapping may have a method `select(keys)` for the
            module that gives just those.
        labels: class names in index order, or empty; of one column two, negative and positive.
        problem_type: the task in the words of transformers (`single_label_classification`,
            `multi_label_classification`, `regression`), None where the source does not say.

    Raises:
        InputError: the number of labels differs from the model's classes, the image size does not fit, or
            the same image gives different outputs.
        UnsupportedError: an output that is not a tensor.
        StepError: the forward pass failed.
    """
    import torch

    module.eval().requires_grad_(False)
    zeros = torch.zeros(1, preprocess.channels, preprocess.height, preprocess.width)
    found = forward(module, zeros, source)
    paths, named, lost = named_tensors(found, int(getattr(module, "num_classes", 1)), source)
    if lost:
        warnings = (*warnings, f"left out of the outputs, since they are no floats: {', '.join(lost)}")
    if lost or not is_flat(found):
        keys = tuple(path[0] for path in paths.values())
        select = getattr(module, "select", None) if all(len(path) == 1 for path in paths.values()) else None
        module = (picking(module, tuple(paths.values())) if select is None else select(keys)).eval()
    _check_outputs(named, source)
    noise = torch.rand(zeros.shape, generator=torch.Generator().manual_seed(0)) - 0.5
    check_repeatable(module, noise, source)
    outputs = tuple(
        TensorSpec(key, tuple(t.shape), str(t.dtype).removeprefix("torch.")) for key, t in named.items()
    )
    output = output_kind(outputs[0], problem_type)
    heads = [head.name for head in outputs if len(head.shape) == 2]
    if labels and output.task == "features" and len(outputs) > 1 and heads:
        raise InputError(
            f"{len(labels)} labels for a model with {len(outputs)} outputs, none of them called {LOGITS_NAME}",
            "say whose names they are: " + " or ".join(f"--labels {head}=FILE" for head in heads),
        )
    check_labels(labels, outputs[0], output)
    spec = ModelSpec(
        name=printable(name),  # it is written into files, which hold valid Unicode alone
        source=source,
        preprocess=preprocess,
        outputs=outputs,
        labels=labels,
        weights_sha256=module_digest(module),
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        author=author,
        license=license,
        output=output,
        preprocess_origin=preprocess_origin,
        weights_origin=weights_origin,
        warnings=warnings,
    )
    return TorchModel(spec, module)


def output_kind(first: TensorSpec, problem_type: str | None = None) -> OutputKind:
    """What is known of the first output before the model has run on images: everything but its activation."""
    if first.name != LOGITS_NAME or len(first.shape) > 2:
        return OutputKind("features")
    if problem_type == "regression":
        return OutputKind("regression")
    if first.shape[1:] in ((), (1,)):
        return OutputKind("binary")
    return OutputKind("multi-label" if problem_type == "multi_label_classification" else "single-label")


def check_labels(labels: tuple[str, ...], first: TensorSpec, kind: OutputKind) -> None:
    """Compare the number of labels with the classes, and see that a file can hold them.

    Raises:
        InputError: they differ, there are labels and no classes, or one is no text (a lone surrogate of JSON).
    """
    if not labels:
        return
    broken = next(
        (n for n, text in enumerate(labels) if text.encode(errors="replace").decode() != text), None
    )
    if broken is not None:
        raise InputError(
            f"label {broken}, {labels[broken]!r}, is not valid Unicode, so no file can hold it",
            "give the names with --labels",
        )
    if not kind.decides:
        what = "that gives values, not classes" if kind.task == "regression" else "without a classifier"
        raise InputError(f"{len(labels)} labels for a model {what}", "leave out --labels")
    classes = class_count(kind, first.shape[-1])
    if classes == len(labels):
        return
    if kind.task == "binary":
        raise InputError(
            f"{len(labels)} labels, but the model gives one number, which decides between two classes",
            "--labels takes a file with two lines: the negative class, then the positive one",
        )
    raise InputError(
        f"{len(labels)} labels, but the model has {classes} classes",
        f"--labels takes a file with one class name a line, in index order: {classes} of them; a head for "
        f"{len(labels)} is made by --num-classes {len(labels)} and filled by --weights",
    )


def _check_outputs(named: Mapping[str, torch.Tensor], source: str) -> None:
    import torch

    for key, value in named.items():
        if not value.is_floating_point():
            raise UnsupportedError(
                f"output {key} of {source} holds {str(value.dtype).removeprefix('torch.')} numbers, not floats",
                "let the model return the scores themselves, before argmax or a cast: wrap it in a module that does, "
                "and give that as python:FILE:FACTORY",
            )
        if value.shape[:1] != (1,):
            raise UnsupportedError(
                f"output {key} of {source} has shape {tuple(value.shape)} for one image: its first axis is not the "
                "batch, which is 1",
                "keep that axis, without squeeze(0) or a mean over it: wrap the model in a module that does, and give "
                "that as python:FILE:FACTORY",
            )
        if not bool(torch.isfinite(value).all()):
            raise InputError(
                f"the model {source} gives NaN or infinite values on a zero image: its weights are broken",
                "check the checkpoint, or give another one with --weights FILE",
            )
