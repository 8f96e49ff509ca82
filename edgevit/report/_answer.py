"""How a program reads the answer from a file's first output, by what that output is: for USAGE.md."""

from __future__ import annotations

from dataclasses import dataclass

from edgevit.core.outputs import OutputKind


@dataclass(frozen=True, slots=True)
class Answer:
    """What the page says, and the lines of its snippets.

    Attributes:
        words: one sentence, what the numbers are and what follows from them.
        python: of the flat array `logits`, the lines of a function that end in its `return`; `NAME` stands for
            what an index becomes, such as `labels[NAME]`.
        kotlin, swift: the lines that turn the float array `logits` into the list `probabilities`, one for each
            class; none where no class follows.
    """

    words: str
    python: tuple[str, ...]
    kotlin: tuple[str, ...] = ()
    swift: tuple[str, ...] = ()


def answer(kind: OutputKind) -> Answer:
    """For an output of that kind."""
    given = _GIVEN[kind.activation]
    if not kind.decides:
        return Answer(f"the model's own {kind.words}", ("return logits",))
    kotlin, swift = _kotlin(kind), _swift(kind)
    if kind.task == "single-label":
        words = f"one {given} per class; the largest one is the answer"
        return Answer(words, ("best = int(logits.argmax())", "return NAME[best], logits"), kotlin, swift)
    limit = threshold(kind)
    if kind.task == "binary":
        return Answer(
            f"one {given}, that of the second class; above {limit} it is the answer, else the first class is",
            (f"best = int(logits[0] > {limit})", "return NAME[best], logits"),
            kotlin,
            swift,
        )
    return Answer(
        f"one {given} per label, each for itself; every label above {limit} is in the image",
        (f"found = [NAME[i] for i in np.flatnonzero(logits > {limit})]", "return found, logits"),
        kotlin,
        swift,
    )


def threshold(kind: OutputKind) -> str:
    """Above which a score says yes, of an output that decides between yes and no."""
    return "0" if kind.activation == "none" else "0.5"


def _kotlin(kind: OutputKind) -> tuple[str, ...]:
    """The same steps as `edgevit.core.outputs.probabilities`: nothing is applied twice."""
    if kind.task == "binary":
        second = "logits[0]" if kind.activation == "sigmoid" else "1 / (1 + exp(-logits[0]))"
        return (f"val second = {second}", "val probabilities = listOf(1 - second, second)")
    if kind.activation in ("softmax", "sigmoid"):
        return ("val probabilities = logits.toList()",)
    if kind.activation == "log-softmax":
        return ("val probabilities = logits.map { exp(it) }",)
    if kind.task == "multi-label":
        return ("val probabilities = logits.map { 1 / (1 + exp(-it)) } // sigmoid",)
    return (
        "val largest = logits.max()",
        "val powers = logits.map { exp(it - largest) }",
        "val sum = powers.sum()",
        "val probabilities = powers.map { it / sum } // softmax",
    )


def _swift(kind: OutputKind) -> tuple[str, ...]:
    if kind.task == "binary":
        second = "logits[0]" if kind.activation == "sigmoid" else "1 / (1 + exp(-logits[0]))"
        return (f"let second = {second}", "let probabilities = [1 - second, second]")
    if kind.activation in ("softmax", "sigmoid"):
        return ("let probabilities = logits",)
    if kind.activation == "log-softmax":
        return ("let probabilities = logits.map { exp($0) }",)
    if kind.task == "multi-label":
        return ("let probabilities = logits.map { 1 / (1 + exp(-$0)) }  // sigmoid",)
    return (
        "let largest = logits.max() ?? 0",
        "let powers = logits.map { exp($0 - largest) }",
        "let sum = powers.reduce(0, +)",
        "let probabilities = powers.map { $0 / sum }  // softmax",
    )


_GIVEN = {
    "none": "logit",
    "softmax": "probability (the model ends in a softmax: apply none)",
    "log-softmax": "log-probability (the model ends in a log-softmax: exp gives the probability)",
    "sigmoid": "probability (the model ends in a sigmoid: apply none)",
}
