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
        kotlin: the expression, of the FloatArray `logits`.
        kotlin_type: its type.
    """

    words: str
    python: tuple[str, ...]
    kotlin: str
    kotlin_type: str


def answer(kind: OutputKind) -> Answer:
    """For an output of that kind."""
    given = _GIVEN[kind.activation]
    if kind.task == "single-label":
        return Answer(
            f"one {given} per class; the largest one is the answer",
            ("best = int(logits.argmax())", "return NAME[best], logits"),
            "logits.indices.maxBy { logits[it] }",
            "Int",
        )
    if not kind.decides:
        return Answer(f"the model's own {kind.words}", ("return logits",), "logits", "FloatArray")
    threshold = "0" if kind.activation == "none" else "0.5"
    floating = "0f" if kind.activation == "none" else "0.5f"
    if kind.task == "binary":
        return Answer(
            f"one {given}, that of the second class; above {threshold} it is the answer, else the first class is",
            (f"best = int(logits[0] > {threshold})", "return NAME[best], logits"),
            f"if (logits[0] > {floating}) 1 else 0",
            "Int",
        )
    return Answer(
        f"one {given} per label, each for itself; every label above {threshold} is in the image",
        (f"found = [NAME[i] for i in np.flatnonzero(logits > {threshold})]", "return found, logits"),
        f"logits.indices.filter {{ logits[it] > {floating} }}",
        "List<Int>",
    )


_GIVEN = {
    "none": "logit",
    "softmax": "probability (the model ends in a softmax: apply none)",
    "log-softmax": "log-probability (the model ends in a log-softmax: exp gives the probability)",
    "sigmoid": "probability (the model ends in a sigmoid: apply none)",
}
