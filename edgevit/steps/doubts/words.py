"""What labelled images say against the float model, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal

from edgevit.core.results.report import Doubt
from edgevit.validate.statistics import wilson_interval

if TYPE_CHECKING:
    from edgevit.steps.doubts.probe_preprocess import Alternative
    from edgevit.validate.chance import Guessing
    from edgevit.validate.label_order import Order

_UNEXPLAINED: Final = (
    "Neither another order of the labels nor the usual preprocessings explain it. Check the class names (--labels), "
    "the preprocessing (--preprocess), and whether the weights were trained for these classes (--weights)"
)


def no_better(right: int, n: int, guesses: Guessing, explained: bool) -> Doubt:
    """Right on `right` of n images, as someone who guesses; `explained` by another doubt."""
    text = (
        f"the float model itself is right on {_share(right, n)}. That is no better than guessing, which gives "
        f"{100 * guesses.expected:.2f} %, so that no file can pass"
    )
    return _doubt("no-better-than-guessing", text if explained else f"{text}. {_UNEXPLAINED}", right, n)


def other_order(order: Order, right: int, n: int, names: Sequence[str]) -> Doubt:
    """Right on `right` of n images with the labels in the order that was given."""

    def name(index: int) -> str:
        return repr(names[index]) if index < len(names) else f"class {index}"

    pairs = ", ".join(
        f"the model answers {name(answer)} where the label is {name(label)}"
        for label, answer in order.examples
    )
    consequence = (
        "; the files carry the names in the given order, which the images contradict"
        if names
        else ", or number the labels of the images in that order"
    )
    text = (
        f"with the labels {order.words} the float model is right on {_share(order.right, n)} instead of "
        f"{100 * right / n:.2f} %: {pairs}. Give the names in the order of the model's outputs with "
        f"--labels FILE{consequence}"
    )
    return _doubt("label-order", text, right, n, order.right, ("--labels FILE",))


def other_preprocess(other: Alternative, order: Order | None) -> Doubt:
    """`order`: of the labels, with which both were compared."""
    n = other.images
    under = "" if order is None else f", both with the labels {order.words}"
    text = (
        f"with {' '.join(other.flags)} the float model is right on {_share(other.right, n)} instead of "
        f"{100 * other.given / n:.2f} %{under}. The model was probably trained with that "
        "preprocessing: add these flags"
    )
    if other.ahead:
        ahead = ", ".join(f"{' '.join(flags)} ({_share(right, n)})" for flags, right in other.ahead)
        text += f"; on these images {ahead} may be as good"
    return _doubt("preprocessing", text, other.given, n, other.right, other.flags)


def too_few(right: int, n: int, guesses: Guessing) -> str:
    """Neither better than guessing nor clearly no better."""
    return (
        f"the float model is right on {_share(right, n)}, and guessing gives {100 * guesses.expected:.2f} %: "
        "the images are too few to tell whether it knows the classes"
    )


def _doubt(
    kind: Literal["no-better-than-guessing", "label-order", "preprocessing"],
    text: str,
    right: int,
    n: int,
    alternative: int | None = None,
    flags: tuple[str, ...] = (),
) -> Doubt:
    return Doubt(
        kind=kind,
        text=text,
        flags=flags,
        n=n,
        top1=100 * right / n,
        top1_ci95=_interval(right, n),
        alternative_top1=None if alternative is None else 100 * alternative / n,
        alternative_ci95=None if alternative is None else _interval(alternative, n),
    )


def _share(right: int, n: int) -> str:
    low, high = _interval(right, n)
    return f"{100 * right / n:.2f} % of {n} images [{low:.2f}, {high:.2f}]"


def _interval(right: int, n: int) -> tuple[float, float]:
    low, high = wilson_interval(right, n)
    return 100 * low, 100 * high
