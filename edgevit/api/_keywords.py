"""The keywords that the functions at top level share: the settings of a Recipe, typed as a Python program gives them.

tests/edgevit/core/settings/test_one_list.py holds them against the fields of Recipe, by command.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TypedDict, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., object])
Names = str | Path | Sequence[str]


class Resources(TypedDict, total=False):
    """What one step may use: seconds and GB."""

    timeout: float
    max_memory: float


class Model(Resources, total=False):
    """Which model it is, and how its images are prepared."""

    weights: str | Path | None
    weights_key: str | None
    random_weights: int | None
    num_classes: int | None
    image_size: int | tuple[int, int] | None
    model_arg: Mapping[str, object] | None
    preprocess: Mapping[str, str | Sequence[float]] | None
    labels: Names | Mapping[str, Names] | None
    skip_bad_images: bool
    threads: int


class Judged(Model, total=False):
    """What each file has to keep: percentage points, percent, dB."""

    max_drop: float | None
    min_agreement: float | None
    min_sqnr: float | None
    seed: int | None
    cache: str | Path | None


class Planned(Judged, total=False):
    """What is made of a model, and where it goes."""

    to: Sequence[str]
    precision: Sequence[str] | None
    calibrate: str | Path | None
    calibration_count: int | None
    prune: Sequence[tuple[str, float]]
    auto_float: bool
    reconstruct: float
    plan: str | Path | None
    without: Sequence[str]
    option: Mapping[str, Mapping[str, str]] | None
    output: str | Path | None
    overwrite: bool


class QuantizeKeywords(Planned, total=False):
    """Of `edgevit.quantize`."""

    dry_run: bool


class ValidateKeywords(Judged, total=False):
    """Of `edgevit.validate`."""

    evaluate: str | Path | None
    evaluate_count: int | None
    emulated_count: int | None
    device: Sequence[str]
    jobs: int
    output: str | Path | None
    overwrite: bool


class ConvertKeywords(Planned, total=False):
    """Of `edgevit.convert`."""

    evaluate: str | Path | None
    evaluate_count: int | None
    emulated_count: int | None
    device: Sequence[str]
    lint: Sequence[str]
    compile: Sequence[str]
    jobs: int


class DiffKeywords(Model, total=False):
    """Of `edgevit.diff`."""

    evaluate: str | Path | None
    without: Sequence[str]


def with_keywords(keywords: type) -> Callable[[Function], Function]:
    """Let a function that takes `**settings` say in its signature, and in `help()`, which they are.

    Any other keyword is a TypeError, as Python has it.
    """

    def decorate(function: Function) -> Function:
        *own, _ = inspect.signature(function).parameters.values()
        shared = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
            for name, annotation in _annotations(keywords).items()
        ]
        known = {parameter.name for parameter in (*own, *shared)}

        @wraps(function)
        def call(*given: object, **settings: object) -> object:
            unknown = next((name for name in settings if name not in known), None)
            if unknown is not None:
                from edgevit.core.errors import nearest

                name = function.__name__
                told = f"{name}() got an unexpected keyword argument {unknown!r}; {nearest(unknown, known)}"
                raise TypeError(told)
            return function(*given, **settings)

        first = [parameter for parameter in own if parameter.kind is not inspect.Parameter.KEYWORD_ONLY]
        last = [parameter for parameter in own if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
        call.__signature__ = inspect.signature(function).replace(parameters=[*first, *shared, *last])  # type: ignore[attr-defined]
        return cast("Function", call)

    return decorate


def _annotations(keywords: type) -> dict[str, object]:
    """Name -> annotation as it is written, those of the base classes first."""
    return {
        name: annotation.__forward_arg__ if hasattr(annotation, "__forward_arg__") else annotation
        for name, annotation in keywords.__annotations__.items()
    }
