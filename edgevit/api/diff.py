"""`edgevit.diff`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from edgevit.api._keywords import DiffKeywords, with_keywords
from edgevit.api._settings import recipe_of

if TYPE_CHECKING:
    import torch

    from edgevit.core.progress import Progress
    from edgevit.core.results.answer import Answer


@with_keywords(DiffKeywords)
def diff(
    artifact: str | Path,
    *,
    reference: str | os.PathLike[str] | torch.nn.Module,
    file_preprocess: Mapping[str, str] | None = None,
    count: int = 2,
    threshold: float | None = None,
    show_all: bool = False,
    progress: Progress | bool | None = None,
    **settings: Unpack[DiffKeywords],
) -> Answer:
    """Find the first layer of a converted file that differs from its model: `edgevit diff` as a function.

    Args:
        artifact: one .onnx, .tflite or .mlpackage.
        reference: the float model, as `edgevit.convert` takes it, a module in memory too.
        evaluate: images; synthetic pictures where it is left out.
        count: number of images.
        threshold: own error in dB from which on a layer is right; None for that of the precision.
        show_all: all layers in the tables; `data` holds all in any case.

    The others are those of `edgevit.validate`.

    Returns:
        `data` as the command prints it with `--json`; `exit_code` is 1 where a layer is wrong, or the file takes
        another input.

    Raises:
        edgevit.EdgevitError: what the command would print, by kind.

    Examples:
        >>> answer = edgevit.diff("dist/demo/onnx/fp32/model.onnx", reference="demo")
        >>> answer.exit_code
        0
    """
    from edgevit.flows.diff import diff as flow
    from edgevit.report.progress import progress_for

    with recipe_of(reference, settings) as recipe, progress_for(progress) as display:
        return flow(Path(artifact), recipe, count, threshold, show_all, display, file_preprocess)
