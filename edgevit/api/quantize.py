"""`edgevit.quantize`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.api._settings import recipe_of

if TYPE_CHECKING:
    import torch

    from edgevit.core.progress import Progress
    from edgevit.core.results.answer import Answer


def quantize(
    model: str | os.PathLike[str] | torch.nn.Module | None = None,
    *,
    weights: str | Path | None = None,
    weights_key: str | None = None,
    random_weights: int | None = None,
    num_classes: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    model_arg: Mapping[str, object] | None = None,
    preprocess: Mapping[str, str | Sequence[float]] | None = None,
    labels: str | Path | Sequence[str] | None = None,
    to: Sequence[str] = (),
    precision: Sequence[str] | None = None,
    calibrate: str | Path | None = None,
    calibration_count: int | None = None,
    skip_bad_images: bool = False,
    prune: Sequence[tuple[str, float]] = (),
    max_drop: float | None = None,
    min_agreement: float | None = None,
    min_sqnr: float | None = None,
    auto_float: bool = False,
    reconstruct: float = 0.0,
    plan: str | Path | None = None,
    without: Sequence[str] = (),
    option: Mapping[str, Mapping[str, str]] | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    threads: int = 0,
    timeout: float = 3600.0,
    max_memory: float = 8.0,
    seed: int | None = None,
    dry_run: bool = False,
    progress: Progress | bool | None = None,
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
    settings = dict(locals())
    from edgevit.flows.quantize import quantize as flow
    from edgevit.report.progress import progress_for

    with recipe_of(model, settings, precision="w8a8") as recipe, progress_for(progress) as display:
        return flow(recipe, display)
