"""A file and its model compared where both give the same: as logits, as probabilities, or as their logarithms."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from edgevit.core.outputs import Activation, OutputKind, sigmoid, softmax

if TYPE_CHECKING:
    from edgevit.core.types import Floats

_ENDS: Final[dict[Activation, str]] = {
    "none": "gives logits",
    "softmax": "ends in a softmax",
    "log-softmax": "ends in a log-softmax",
    "sigmoid": "ends in a sigmoid",
}


def common(reference: OutputKind, file: OutputKind) -> OutputKind | None:
    """The kind that both can be brought to: the reference's own where they are alike; None where there is none."""
    found = {reference.activation, file.activation}
    if not reference.decides or len(found) == 1:
        return reference
    if "sigmoid" in found:
        return replace(reference, activation="sigmoid") if "none" in found else None
    return replace(reference, activation="log-softmax" if "softmax" not in found else "softmax")


def bring(outputs: Floats, activation: Activation, wanted: OutputKind) -> Floats:
    """Outputs that went through `activation`, float32 (N, ...), as `wanted` has them."""
    import numpy as np

    if activation == wanted.activation:
        return outputs
    values = outputs.astype(np.float64)
    if wanted.activation == "sigmoid":
        values = sigmoid(values)
    elif wanted.activation == "log-softmax":
        shifted = values - values.max(axis=-1, keepdims=True)
        values = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    else:
        values = softmax(values)  # of log-probabilities: the probabilities again
    return values.astype(np.float32)


def compared_as(reference: OutputKind, file: OutputKind) -> str:
    """What they were brought to and why, in words; "" where nothing had to be done."""
    both = common(reference, file)
    if not reference.decides or file.activation == reference.activation:
        return ""
    ends = f"the file {_ENDS[file.activation]}, the float model {_ENDS[reference.activation]}"
    return f"they are, though {ends}" if both is None else f"{both.words}: {ends}"
