"""The step that executes the files of one target: outputs, integers, weights, and every single site."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgevit.core._plain import from_plain, to_plain
from edgevit.core.errors import EdgevitError, InputError, StepError
from edgevit.core.plugins import Runtime
from edgevit.core.report import SiteError
from edgevit.core.types import RunOptions
from edgevit.flows import _values
from edgevit.flows._site_check import compare_sites, confirm_sites
from edgevit.flows._values import Built, Executed, ExecutedAll, ExecuteRequest
from edgevit.registries import RUNTIMES

if TYPE_CHECKING:
    from edgevit.core.types import Floats, Pixels

Emit = Callable[[dict[str, Any]], None]
_CHUNK = 64


def execute(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Worker function: ExecuteRequest -> ExecutedAll, both as plain data."""
    import numpy as np

    asked = from_plain(ExecuteRequest, request, "request")
    work = Path(asked.work)
    runtime = RUNTIMES.get(asked.runtime)
    pixels = np.load(work / _values.PIXELS)
    if asked.fp32 is not None and asked.fp32.sites:
        confirm_sites(runtime, asked.fp32, pixels[:1], work / _values.site_values(asked.fp32.target))
    files = []
    for built in asked.files:
        begin = time.perf_counter()
        try:
            done = _execute_one(runtime, built, pixels, asked, emit)
        except EdgevitError as error:
            done = Executed(built.target, built.precision, 0.0, error=error.message)
        files.append(_with_seconds(done, time.perf_counter() - begin))
        emit({"executed": to_plain(files[-1])})
    return to_plain(ExecutedAll(tuple(files)))


def _execute_one(
    runtime: Runtime, built: Built, pixels: Pixels, asked: ExecuteRequest, emit: Emit
) -> Executed:
    import numpy as np

    assert built.path is not None
    path, work = Path(built.path), Path(asked.work)
    emit({"stage": f"executing {built.target} {built.precision}", "total": len(pixels)})
    outputs = run_all(
        runtime, path, pixels, RunOptions(asked.threads, (), asked.preprocess), lambda n: emit({"advance": n})
    )
    wanted = np.load(work / _values.REFERENCE, mmap_mode="r").shape
    if outputs.shape != wanted:
        raise InputError(
            f"{path.name} gives outputs of shape {outputs.shape[1:]}, the float model {wanted[1:]}: "
            "it was made from another one"
        )
    name = f"executed-{built.target}-{built.precision}.npy"
    np.save(work / name, outputs)
    sites: tuple[SiteError, ...] = ()
    integer, contents = runtime.integer_macs(path), runtime.contents(path)
    if built.precision in asked.graphs and built.sites:
        emit({"stage": f"checking the sites of {built.target} {built.precision}"})
        sites = compare_sites(
            runtime, built, pixels[: _values.SITE_IMAGES], work, asked.graphs[built.precision]
        )
    return Executed(
        target=built.target,
        precision=built.precision,
        seconds=0.0,
        executed_by=runtime.label(),
        outputs=name,
        integer=integer,
        weight_bytes=dict(contents.weight_bytes),
        operators=sum(count for _, count in contents.operators),
        max_rank=contents.max_rank,
        sites=sites,
    )


def run_all(
    runtime: Runtime, path: Path, pixels: Pixels, options: RunOptions, advance: Callable[[int], None]
) -> Floats:
    """The first output of a file on all images, float32 (N, ...)."""
    import numpy as np

    parts = []
    with runtime.open(path, options) as runner:
        for start in range(0, len(pixels), _CHUNK):
            chunk = pixels[start : start + _CHUNK]
            outputs = runner.run(chunk)
            found = outputs.get("logits", next(iter(outputs.values())))
            parts.append(np.asarray(found, np.float32))
            advance(len(chunk))
    joined = np.concatenate(parts)
    if len(joined) != len(pixels):
        raise StepError(f"{path.name} gave {len(joined)} results for {len(pixels)} images")
    return joined


def _with_seconds(done: Executed, seconds: float) -> Executed:
    from dataclasses import replace

    return replace(done, seconds=seconds)
