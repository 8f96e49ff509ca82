"""`edgevit.convert`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Unpack

from edgevit.api._keywords import ConvertKeywords, with_keywords
from edgevit.api._settings import recipe_of

if TYPE_CHECKING:
    import torch

    from edgevit.core.progress import Progress
    from edgevit.core.results.report import Report


@with_keywords(ConvertKeywords)
def convert(
    model: str | os.PathLike[str] | torch.nn.Module | None = None,
    *,
    progress: Progress | bool | None = None,
    **settings: Unpack[ConvertKeywords],
) -> Report:
    """Compress, convert, execute and judge a model: `edgevit convert` as a function.

    The arguments are the flags of `edgevit convert`. What is left out is as the command has it by default, or as
    `plan` was made with; `to` left empty means all targets.

    Args:
        model: a MODEL text such as `timm:vit_tiny_patch16_224`, or a `torch.nn.Module` from float32 images
            (N, 3, height, width). A module is copied and exported in this process, in eval mode, in float32 and on
            the CPU; it stays as it is, and what the report calls it is its class. `prune` needs a text.
        image_size: (height, width) in pixels, or one number for both.
        model_arg: arguments of the architecture or factory.
        preprocess: such as `{"normalize": "imagenet"}`, or `mean` and `std` as three numbers in units of 0 to 1.
        labels: class names in index order, or a file of them.
        calibrate: images for ranges and rounding, as SAMPLES on the command line.
        evaluate: images for accuracy, likewise.
        prune: (method, fraction to remove), in order.
        max_drop: percentage points.
        min_agreement: percent.
        min_sqnr: dB.
        reconstruct: seconds for each plan.
        option: target -> name -> value.
        timeout: seconds for each step.
        max_memory: GB for each step.
        progress: True and False show it and do not; None shows it in a terminal and in a notebook. Or an object of
            your own with the methods of `edgevit.core.progress.Progress`.

    Returns:
        The report that is also written into the bundle; `report.folder` is the bundle. A failed check is a verdict
        in it, no exception.

    Raises:
        edgevit.EdgevitError: what the command would print, by kind: edgevit.UsageError, edgevit.InputError, ...

    Examples:
        >>> report = edgevit.convert("demo", to=["onnx"], precision=["fp32"], evaluate_count=32, output="dist/demo")
        >>> [(file.target, file.precision, file.verdict) for file in report.artifacts]
        [('onnx', 'fp32', 'pass')]
    """
    from edgevit.flows.convert import convert as flow
    from edgevit.report.progress import progress_for

    with recipe_of(model, settings) as recipe, progress_for(progress) as display:
        return flow(recipe, display)
