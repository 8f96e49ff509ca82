"""`edgevit.quantize`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Unpack

from edgevit.api._keywords import QuantizeKeywords, with_keywords
from edgevit.api._settings import recipe_of

if TYPE_CHECKING:
    import torch

    from edgevit.core.progress import Progress
    from edgevit.core.results.answer import Answer


@with_keywords(QuantizeKeywords)
def quantize(
    model: str | os.PathLike[str] | torch.nn.Module | None = None,
    *,
    progress: Progress | bool | None = None,
    **settings: Unpack[QuantizeKeywords],
) -> Answer:
    """Decide and simulate a quantization plan, and convert nothing: `edgevit quantize` as a function.

    Args:
        precision: w8a8 if it is left out.
        output: the folder of plan.json and plan.safetensors.
        dry_run: write nothing.

    The others are those of `edgevit.convert`.

    Returns:
        `data` as the command prints it with `--json`: for each plan its sites, what was skipped and why, and the
        loss by simulation. `exit_code` is 1 where `auto_float` missed its limit.

    Raises:
        edgevit.EdgevitError: what the command would print, by kind.

    Examples:
        >>> answer = edgevit.quantize("demo", to=["onnx"], precision=["w8"], calibration_count=16, dry_run=True)
        >>> answer.exit_code
        0
    """
    from edgevit.flows.quantize import quantize as flow
    from edgevit.report.progress import progress_for

    with recipe_of(model, settings, precision="w8a8") as recipe, progress_for(progress) as display:
        return flow(recipe, display)
