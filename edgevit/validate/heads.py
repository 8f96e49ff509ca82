"""Which outputs of a file limits and floors are about: the first, and each further one with class names."""

from __future__ import annotations

from edgevit.core.results.report import Accuracy, ArtifactReport


def accuracies(artifact: ArtifactReport) -> tuple[tuple[str, Accuracy], ...]:
    """Accuracy of each such output, with what sentences about it begin with: `NAME: `, or nothing if it is alone."""
    first = () if artifact.accuracy is None else (artifact.accuracy,)
    if not artifact.heads:
        return tuple(("", accuracy) for accuracy in first)
    return (
        *((f"{artifact.head}: ", accuracy) for accuracy in first),
        *((f"{head.head}: ", head.accuracy) for head in artifact.heads),
    )
