"""`edgevit.run`, `edgevit.profile` and `edgevit.lint`: what is done with converted files alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.api._settings import path_of, recipe_of

if TYPE_CHECKING:
    from edgevit.core.progress import Progress
    from edgevit.core.results.answer import Answer


def run(
    artifact: str | Path,
    images: str | Path | Sequence[str | Path],
    *,
    top: int = 5,
    threads: int = 0,
    timeout: float = 3600.0,
    max_memory: float = 8.0,
) -> Answer:
    """The most likely classes of images, by the file's own preprocessing and labels: `edgevit run` as a function.

    Args:
        artifact: one .onnx, .tflite or .mlpackage.
        images: one image file, or several.
        top: how many classes.
        threads: 0 for all cores.
        timeout: seconds.
        max_memory: GB.

    Returns:
        `data["images"]` has, for each file, its path and its classes with label and probability; a regression has
        values.

    Raises:
        edgevit.EdgevitError: what the command would print, by kind.

    Examples:
        >>> answer = edgevit.run("dist/demo/onnx/fp32/model.onnx", "shoe.png", top=3)
        >>> answer.data["images"][0]["classes"][0]["label"]
        'ankle boot'
    """
    settings = {"threads": threads, "timeout": timeout, "max_memory": max_memory}
    from edgevit.core.errors import UsageError
    from edgevit.flows.run import run as flow

    given = images if isinstance(images, Iterable) and not isinstance(images, str) else (images,)
    files = [path_of(image, "images", "save it to a file: image.save('image.png')") for image in given]
    if not files or top < 1:
        raise UsageError(
            f"{len(files)} images and the first {top} classes leave nothing to do",
            "give an image, and top from 1 on",
        )
    with recipe_of(artifact, settings) as recipe:
        return flow(Path(artifact), tuple(map(Path, files)), top, recipe)


def profile(
    artifact: str | Path,
    *,
    device: str = "local",
    runs: int = 50,
    seconds: float = 0.0,
    threads: int = 0,
    cpus: Sequence[int] = (),
    unit: str = "all",
    keep: bool = False,
    html: str | Path | None = None,
    runner: str | Path | None = None,
    timeout: float = 3600.0,
    max_memory: float = 8.0,
    progress: Progress | bool | None = None,
) -> Answer:
    """Latency of files on a device: distribution, time to load, operators: `edgevit profile` as a function.

    Args:
        artifact: one .onnx, .tflite or .mlpackage, or a bundle.
        device: where it is executed; `edgevit list devices` has the places.
        runs: timed runs of each file at least, after the warm-up.
        seconds: of timed runs of each file at least.
        threads: 0 for all cores.
        cpus: cores that the runs are bound to, none for all.
        unit: compute unit of Core ML: all, cpu_only, cpu_and_gpu or cpu_and_ne.
        keep: leave the files on the device for the next run.
        html: where to write a page with plots.
        runner: LiteRT's benchmark_model, which times .tflite files on a phone without Python.
        timeout: seconds.
        max_memory: GB.
        progress: as of `edgevit.convert`.

    Returns:
        `data["files"]`, and of one file alone `data["latency"]` in milliseconds and `data["runs_ms"]`, each run.

    Raises:
        edgevit.EdgevitError: what the command would print, by kind.

    Examples:
        >>> answer = edgevit.profile("dist/demo/onnx/fp32/model.onnx", runs=20, threads=1)
        >>> len(answer.data["runs_ms"]) >= 20
        True
    """
    settings = {"threads": threads, "timeout": timeout, "max_memory": max_memory}
    from edgevit.core.errors import UsageError
    from edgevit.flows.profile import ProfileRequest
    from edgevit.flows.profile import profile as flow
    from edgevit.report.progress import progress_for

    if not isinstance(threads, int):
        raise UsageError(
            f"threads={threads!r}: one number",
            "measure once for each: [edgevit.profile(artifact, threads=n) for n in (1, 2, 4)]",
        )
    if runs < 1:
        raise UsageError(f"runs={runs}: nothing would be timed", "give at least one")
    with recipe_of(artifact, settings) as recipe, progress_for(progress) as display:
        program = None if runner is None else Path(runner)
        page = None if html is None else Path(html)
        asked = ProfileRequest(device, runs, seconds, tuple(cpus), unit, keep, program, page)
        return flow(Path(artifact), asked, recipe, display)


def lint(
    artifact: str | Path,
    *,
    backends: Sequence[str] = (),
    timeout: float = 3600.0,
    max_memory: float = 8.0,
    progress: Progress | bool | None = None,
) -> Answer:
    """Which operators leave an accelerator, why, and in which module of the model: `edgevit lint` as a function.

    Args:
        artifact: one .onnx, .tflite or .mlpackage, or a bundle.
        backends: accelerators as after `--for`, such as `litert-gpu`; none for all that take the format.
        timeout: seconds for each file and accelerator.
        max_memory: GB.
        progress: as of `edgevit.convert`.

    Returns:
        `data["reports"]` has, for each file and accelerator, the number of operators by where they run, and the
        findings; `exit_code` is 1 where an operator leaves, 3 where a checker that was asked for gave no answer.

    Raises:
        edgevit.EdgevitError: what the command would print, by kind.

    Examples:
        >>> answer = edgevit.lint("dist/demo/onnx/fp32/model.onnx", backends=["nnapi"])
        >>> answer.data["reports"][0]["findings"][0]["operator"]
        'LayerNormalization'
    """
    settings = {"timeout": timeout, "max_memory": max_memory}
    from edgevit.flows.lint import lint as flow
    from edgevit.report.progress import progress_for

    with recipe_of(artifact, settings) as recipe, progress_for(progress) as display:
        return flow(Path(artifact), tuple(backends), recipe, display)
