"""What the first outputs of a file and of its model mean, and why they differ, as `edgevit validate` sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core.outputs import OutputKind
from edgevit.core.plugins import Runtime
from edgevit.core.precisions import Precision
from edgevit.core.runner import Contents, RunOptions
from edgevit.steps import named_outputs
from edgevit.steps.diff.substitute import Rules
from edgevit.steps.diff.values import Values
from edgevit.steps.doubts.explain import explain
from edgevit.steps.execute import sqnr_fed
from edgevit.steps.output_kind import file_kind
from edgevit.validate.spaces import bring, common, compared_as

if TYPE_CHECKING:
    import torch

    from edgevit.core.types import Floats, Pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstOutput:
    """The first output of the reference, and that of the file.

    Attributes:
        site, tap: where the reference computes it, and what the file calls it.
        reference, file: on all images, float32 (N, ...), in the reference's shape.
        kind, file_kind: what they are.
    """

    site: str
    tap: str
    reference: Floats
    file: Floats
    kind: OutputKind
    file_kind: OutputKind


def first_output(
    site: str,
    reference: Floats,
    kind: OutputKind,
    contents: Contents,
    rules: Rules,
    images: tuple[Values, ...],
) -> FirstOutput | None:
    """Find the file's; None if it has no output of that size."""
    import numpy as np

    tap = rules.output.get(site)
    if tap is None:
        return None
    file = np.stack([values.by_tap[tap].numpy() for values in images]).reshape(reference.shape)
    return FirstOutput(
        site=site, tap=tap, reference=reference, file=file, kind=kind, file_kind=file_kind(contents, file)
    )


def bring_both(
    output: FirstOutput, rules: Rules, images: tuple[Values, ...]
) -> tuple[Rules, tuple[Values, ...], str]:
    """Compare the output in a form that both can be brought to, such as logits and probabilities as probabilities.

    Returns:
        Rules and values with that form, and what was done and why, "" where both are alike.
    """
    explanation, both = compared_as(output.kind, output.file_kind), common(output.kind, output.file_kind)
    if both is None or not explanation:
        return rules, images, explanation
    as_both = partial(bring, activation=output.kind.activation, wanted=both)
    file = bring(output.file, output.file_kind.activation, both)
    sqnr = named_outputs.worst("sqnr", {"": as_both(output.reference)}, {"": file})
    explanation = f"{explanation}; so compared, they agree to {sqnr:.1f} dB"
    if output.site in rules.named:  # the file has that layer itself, whatever it makes of it then
        return rules, images, explanation
    tap = f"{output.tap} as {both.words}"
    rules = replace(
        rules, output={**rules.output, output.site: tap}, brought={output.site: _on_tensors(as_both)}
    )
    return (
        rules,
        tuple(_with(values, tap, one) for values, one in zip(images, file, strict=True)),
        explanation,
    )


def another_input(
    output: FirstOutput,
    runtime: Runtime,
    path: Path,
    options: RunOptions,
    precision: Precision,
    pixels: Pixels,
) -> str:
    """One sentence that names what the file's input should be; "" where it is near its model, or nothing helps.

    Args:
        options: with which it was executed.
        pixels: uint8 (N, height, width, 3).
    """
    assert options.preprocess is not None
    reference = {output.tap: output.reference}
    sqnr = partial(sqnr_fed, runtime, path, options, reference, output.kind, output.file_kind)
    return explain(precision, runtime.contents(path), options.preprocess, sqnr, pixels)


def _on_tensors(function: Callable[[Floats], Floats]) -> Callable[[torch.Tensor], torch.Tensor]:
    import torch

    return lambda tensor: torch.from_numpy(function(tensor.numpy()))


def _with(values: Values, tap: str, array: Floats) -> Values:
    """The same with one more tensor."""
    import torch

    return replace(values, by_tap={**values.by_tap, tap: torch.from_numpy(array)})
