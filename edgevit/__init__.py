"""Compress vision transformers, convert them to ONNX, TFLite and Core ML, and prove each file right.

Importing this costs nothing; the work is imported when a function is called.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgevit.core.progress import Progress
    from edgevit.core.report import Report

__version__ = "0.1.0"
__all__ = ["__version__", "convert", "validate"]


class _Package(ModuleType):
    """This package, in which `validate` stays the function: importing the part of that name would replace it."""

    def __setattr__(self, name: str, value: object) -> None:
        if name != "validate" or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def convert(
    model: str | None = None,
    *,
    weights: str | Path | None = None,
    weights_key: str | None = None,
    random_weights: int | None = None,
    num_classes: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    model_arg: Mapping[str, str] | None = None,
    preprocess: Mapping[str, str | Sequence[float]] | None = None,
    labels: str | Path | None = None,
    to: Sequence[str] = (),
    precision: Sequence[str] | None = None,
    calibrate: str | Path | None = None,
    calibration_count: int | None = None,
    evaluate: str | Path | None = None,
    evaluate_count: int | None = None,
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
    jobs: int = 0,
    threads: int = 0,
    timeout: float = 3600.0,
    max_memory: float = 8.0,
    seed: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Compress, convert, execute and judge a model: `edgevit convert` as a function.

    The arguments are the flags of `edgevit convert`; `image_size` is (height, width) in pixels,
    `prune` holds (method, fraction), `option` maps target -> name -> value, `timeout` is in seconds
    and `max_memory` in GB, both per step, `reconstruct` in seconds per plan. `to` left empty means all targets. What
    is left out is as the command has it by default, or as `plan` was made with.

    Returns:
        The report that is also written into the bundle. A failed check is a verdict in it, no exception.

    Raises:
        edgevit.core.errors.EdgevitError: as the command would print it.
    """
    settings = {name: value for name, value in locals().items() if name != "progress"}
    from edgevit.core import recipe
    from edgevit.core.progress import Silent
    from edgevit.flows.convert import convert as flow

    return flow(recipe.make(_plain(settings)), progress or Silent())


def validate(
    path: str | Path,
    *,
    reference: str,
    weights: str | Path | None = None,
    weights_key: str | None = None,
    random_weights: int | None = None,
    num_classes: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    model_arg: Mapping[str, str] | None = None,
    preprocess: Mapping[str, str | Sequence[float]] | None = None,
    file_preprocess: Mapping[str, str] | None = None,
    labels: str | Path | None = None,
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
    seed: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Execute files made earlier, or by other tools, and judge them: `edgevit validate` as a function.

    `path` is a bundle or one artifact, `reference` the float model as `convert` takes it, `file_preprocess` what files
    that carry no preprocessing take instead of the model's color, mean and std.

    Raises:
        edgevit.core.errors.EdgevitError: as the command would print it.
    """
    settings = {
        k: v for k, v in locals().items() if k not in ("path", "reference", "progress", "file_preprocess")
    }
    from edgevit.core import recipe
    from edgevit.core.progress import Silent
    from edgevit.flows.validate import validate as flow

    wanted = recipe.make(_plain({**settings, "model": reference}))
    return flow(Path(path), wanted, progress or Silent(), file_preprocess)


def _plain(settings: Mapping[str, object]) -> dict[str, object]:
    """Paths of samples as text: a SAMPLES text may also be a word such as `demo`."""
    return {
        name: str(value) if name in ("calibrate", "evaluate") and value is not None else value
        for name, value in settings.items()
    }
