"""What the numbers that a model gives mean: the task, and the activation that they went through.

Everything that reads an output asks here: agreement and accuracy, `edgevit run`, the Core ML
classifier, USAGE.md. Files carry it as JSON under `edgevit.output`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from edgevit.core import metadata_keys
from edgevit.core._plain import from_plain, to_plain
from edgevit.core.disk.documents import parse_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# What the first output of a classifier is called, whatever it holds; its OutputKind says what.
LOGITS_NAME: Final = "logits"

Task = Literal["single-label", "binary", "multi-label", "regression", "features"]
Activation = Literal["none", "softmax", "log-softmax", "sigmoid"]
T = TypeVar("T")

# Operations that only move, pick or cast elements of their first input, as PyTorch, ONNX, TFLite and MIL
# call them, in lower case.
_PASSING: Final = frozenset(
    (
        *("alias", "clone", "contiguous", "detach", "dropout", "identity", "lift_fresh_copy"),
        *("_to_copy", "cast", "dequantize", "dequantizelinear", "quantize", "quantizelinear", "to"),
        *("_unsafe_view", "expand_dims", "flatten", "reshape", "squeeze", "unsqueeze", "view"),
        *("permute", "t", "transpose"),
        *("gather", "narrow", "select", "slice", "slice_by_index", "slice_by_size", "strided_slice"),
    )
)
_STEPS: Final = 32  # far more than stand behind an activation; a damaged file may go in circles
_ACTIVATIONS: Final[dict[str, Activation]] = {
    "softmax": "softmax",
    "_softmax": "softmax",
    "log_softmax": "log-softmax",
    "_log_softmax": "log-softmax",
    "logsoftmax": "log-softmax",
    "sigmoid": "sigmoid",
    "logistic": "sigmoid",
}


@dataclass(frozen=True, slots=True)
class OutputKind:
    """What the first output is.

    Attributes:
        task: single-label: one of two or more classes, a column each. binary: one column, high for the
            second class. multi-label: a column for each of several independent labels. regression and
            features decide nothing.
        activation: the last operation: none for logits, values and features.
    """

    task: Task = "single-label"
    activation: Activation = "none"

    @property
    def decides(self) -> bool:
        """Whether a class or a set of labels follows from it."""
        return self.task in ("single-label", "binary", "multi-label")

    @property
    def words(self) -> str:
        """In the plural, for reports."""
        if not self.decides:
            return "values" if self.task == "regression" else "features"
        if self.activation == "log-softmax":
            return "log-probabilities"
        return "logits" if self.activation == "none" else "probabilities"


LOGITS: Final = OutputKind()  # what a classifier gives unless something says otherwise


def principal(names: Sequence[str]) -> str | None:
    """The output that a file is judged by: `logits`, else the first one; None without any."""
    return LOGITS_NAME if LOGITS_NAME in names else next(iter(names), None)


def class_count(kind: OutputKind, columns: int) -> int:
    """Number of class names that an output of so many columns has."""
    return 2 if kind.task == "binary" else columns


def class_scores(outputs: NDArray[np.floating], kind: OutputKind) -> NDArray[np.float64]:
    """One score per class, float64 (N, classes), the largest being the answer; (N,) and (N, 1) are one column.

    A binary output becomes two columns: 0 and the logit, or 1 - p and p. An even score is the first
    class, so that "positive" is a logit above 0 or a probability above 0.5.
    """
    import numpy as np

    scores = np.asarray(outputs, np.float64).reshape(len(outputs), -1)
    if kind.task != "binary":
        return scores
    other = np.zeros_like(scores) if kind.activation == "none" else 1.0 - scores
    return np.concatenate([other, scores], axis=1)


def decisions(outputs: NDArray[np.floating], kind: OutputKind) -> NDArray[np.bool_]:
    """Of a multi-label output, which labels it gives each image; bool (N, labels)."""
    import numpy as np

    scores = np.asarray(outputs, np.float64).reshape(len(outputs), -1)
    return np.asarray(scores > (0.0 if kind.activation == "none" else 0.5))


def probabilities(outputs: NDArray[np.floating], kind: OutputKind) -> NDArray[np.float64]:
    """Probability of each class, float64 (N, classes): nothing is applied twice."""
    scores = class_scores(outputs, kind)
    if kind.activation in ("softmax", "sigmoid"):
        return scores
    if kind.activation == "log-softmax" or kind.task != "multi-label":
        return softmax(scores)  # of log-probabilities: the probabilities again
    return sigmoid(scores)


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Along the last axis."""
    import numpy as np

    shifted = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def sigmoid(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)), without overflow."""
    import numpy as np

    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * scores)))


def seen_activation(outputs: NDArray[np.floating], tolerance: float = 1e-3) -> Activation:
    """What the values alone prove, float (N, C): each row a distribution, or the logarithm of one; else none.

    A sigmoid cannot be proved by its values.

    Args:
        tolerance: of the sums; 8-bit outputs need more than float ones.
    """
    import numpy as np

    rows = np.asarray(outputs, np.float64).reshape(len(outputs), -1)
    if rows.shape[1] < 2 or not np.isfinite(rows).all():
        return "none"
    if (rows >= -tolerance).all() and (np.abs(rows.sum(axis=1) - 1) <= tolerance).all():
        return "softmax"
    if (rows <= tolerance).all() and (np.abs(np.exp(rows).sum(axis=1) - 1) <= tolerance).all():
        return "log-softmax"
    return "none"


def last_activation(output: T, maker: Callable[[T], tuple[str, T] | None]) -> Activation:
    """The activation that an output comes from, through whatever only moves, picks or casts its elements.

    Args:
        maker: a value -> the operation that makes it and that operation's first input; None if nothing does.
    """
    made = maker(output)
    for _ in range(_STEPS):
        if made is None:
            break
        name = made[0].lower()
        if name not in _PASSING:
            return _ACTIVATIONS.get(name, "none")
        made = maker(made[1])
    return "none"


def within_unit(outputs: NDArray[np.floating]) -> bool:
    """Whether every value lies in 0..1, as those of a sigmoid do."""
    import numpy as np

    return bool(np.isfinite(outputs).all() and (outputs >= 0).all() and (outputs <= 1).all())


def dumps(kind: OutputKind) -> str:
    """As files carry it."""
    return json.dumps(to_plain(kind), separators=(",", ":"))


def loads(text: str | bytes | None, path: Path) -> OutputKind | None:
    """Read what `dumps` wrote; None if there is nothing.

    Raises:
        InputError: it is something else; the message names `path`.
    """
    where = f"{path}: {metadata_keys.OUTPUT}"
    return (
        None if text is None else from_plain(OutputKind, parse_json(text, f"{where} cannot be read"), where)
    )
