"""`edgevit.validate`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.api._settings import recipe_of

if TYPE_CHECKING:
    import torch

    from edgevit.core.progress import Progress
    from edgevit.core.results.report import Report


def validate(
    path: str | Path,
    *,
    reference: str | os.PathLike[str] | torch.nn.Module,
    weights: str | Path | None = None,
    weights_key: str | None = None,
    random_weights: int | None = None,
    num_classes: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    model_arg: Mapping[str, object] | None = None,
    preprocess: Mapping[str, str | Sequence[float]] | None = None,
    file_preprocess: Mapping[str, str] | None = None,
    labels: str | Path | Sequence[str] | None = None,
    evaluate: str | Path | None = None,
    evaluate_count: int | None = None,
    skip_bad_images: bool = False,
    max_drop: float | None = None,
    min_agreement: float | None = None,
    min_sqnr: float | None = None,
    jobs: int = 0,
    threads: int = 0,
    timeout: float = 3600.0,
    max_memory: float = 8.0,
    seed: int | None = None,
    progress: Progress | bool | None = None,
) -> Report:
    """Execute files made earlier, or by other tools, and judge them: `edgevit validate` as a function.

    Args:
        path: a bundle, or one .onnx, .tflite or .mlpackage.
        reference: the float model, as `edgevit.convert` takes it, a module in memory too.
        file_preprocess: what files that carry no preprocessing take instead of the model's color, mean and std.

    The others are those of `edgevit.convert`.

    Returns:
        The report; nothing is written, and `report.folder` is where its paths start.

    Raises:
        edgevit.EdgevitError: what the command would print, by kind.

    Examples:
        >>> report = edgevit.validate("dist/demo", reference="demo", evaluate="demo", evaluate_count=32)
        >>> [file.verdict for file in report.artifacts]
        ['pass']
    """
    settings = dict(locals())
    from edgevit.flows.validate import validate as flow
    from edgevit.report.progress import progress_for

    with recipe_of(reference, settings) as recipe, progress_for(progress) as display:
        return flow(Path(path), recipe, display, file_preprocess)
