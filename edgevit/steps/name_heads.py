"""Class names for outputs of a model that has several (`--labels HEAD=FILE`), and which of them is judged first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from edgevit.core.errors import UsageError, nearest
from edgevit.core.outputs import LOGITS_NAME, OutputKind
from edgevit.core.types import LabelledOutput, TensorSpec, TorchModel
from edgevit.models._flatten import picking
from edgevit.models._spec import check_labels

Heads = Mapping[str, tuple[str, ...]]


def head_kind(output: TensorSpec) -> OutputKind:
    """A head with class names: one column decides between two of them, more are one of so many."""
    return OutputKind("binary" if output.shape[1:] in ((), (1,)) else "single-label")


def name_heads(model: TorchModel, heads: Heads) -> TorchModel:
    """`model` with the class names of `heads`, by the names of its outputs.

    A file is judged by its first output. That stays the classifier that the source found; where there is none,
    it becomes the first head that was named.

    Raises:
        UsageError: an output that the model does not have, or that is no row of scores.
        InputError: another number of names than the head has columns.
    """
    if not heads:
        return model
    spec = model.spec
    known = {output.name: output for output in spec.outputs}
    for head, labels in heads.items():
        if head not in known:
            raise UsageError(f"--labels {head}=...: the model has no output {head!r}", nearest(head, known))
        shape = known[head].shape
        if len(shape) > 2:
            raise UsageError(
                f"--labels {head}=...: that output has shape {shape}, which is no row of scores",
                "name an output with one column for each class",
            )
        check_labels(labels, replace(known[head], name=LOGITS_NAME), head_kind(known[head]))
    first = spec.outputs[0].name
    if not spec.output.decides:
        chosen = next(iter(heads))
        model = _with_first(model, chosen)
        spec = replace(model.spec, output=head_kind(known[chosen]))
        first = chosen
    others = {
        head: LabelledOutput(labels, head_kind(known[head]))
        for head, labels in heads.items()
        if head != first
    }
    return TorchModel(replace(spec, labels=heads.get(first, spec.labels), heads=others), model.module)


def _with_first(model: TorchModel, name: str) -> TorchModel:
    outputs = model.spec.outputs
    order = sorted(range(len(outputs)), key=lambda index: outputs[index].name != name)
    if order == list(range(len(outputs))):
        return model
    module = picking(model.module, tuple((index,) for index in order)).eval()
    return TorchModel(replace(model.spec, outputs=tuple(outputs[index] for index in order)), module)
