"""`edgevit.validate`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from edgevit.api._keywords import ValidateKeywords, with_keywords
from edgevit.api._settings import recipe_of

if TYPE_CHECKING:
    import torch

    from edgevit.core.progress import Progress
    from edgevit.core.results.report import Report


@with_keywords(ValidateKeywords)
def validate(
    path: str | Path,
    *,
    reference: str | os.PathLike[str] | torch.nn.Module,
    file_preprocess: Mapping[str, str] | None = None,
    progress: Progress | bool | None = None,
    **settings: Unpack[ValidateKeywords],
) -> Report:
    """Execute files made earlier, or by other tools, and judge them: `edgevit validate` as a function.

    Args:
        path: a bundle, or one .onnx, .tflite or .mlpackage.
        reference: the float model, as `edgevit.convert` takes it, a module in memory too.
        file_preprocess: what files that carry no preprocessing take instead of the model's color, mean and std.

    The others are those of `edgevit.convert`.

    Returns:
        The report; `report.folder` is where its paths start. Nothing is written without `output`.

    Raises:
        edgevit.EdgevitError: what the command would print, by kind.

    Examples:
        >>> report = edgevit.validate("dist/demo", reference="demo", evaluate="demo", evaluate_count=32)
        >>> [file.verdict for file in report.artifacts]
        ['pass']
    """
    from edgevit.flows.validate import validate as flow
    from edgevit.report.progress import progress_for

    with recipe_of(reference, settings) as recipe, progress_for(progress) as display:
        return flow(Path(path), recipe, display, file_preprocess)
