"""The step that executes the files of one target: outputs, integers, weights, and every single site."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core.errors import EdgevitError, InputError, RefusedError, StepError, UnreadableTensorsError
from edgevit.core.outputs import OutputKind
from edgevit.core.plans import QuantPlan
from edgevit.core.plugins import Runtime
from edgevit.core.progress import Advance, Emit, FileDone, Stage
from edgevit.core.results.report import SiteError
from edgevit.core.runner import RunOptions
from edgevit.core.types import Preprocess
from edgevit.registries import RUNTIMES
from edgevit.steps import messages, named_outputs
from edgevit.steps.compare_sites import compare_sites, confirm_sites
from edgevit.steps.doubts.explain import explain, other_pixels
from edgevit.steps.locate import locate
from edgevit.steps.messages import Built, Executed, ExecutedAll, ExecuteRequest
from edgevit.steps.output_kind import file_kind
from edgevit.validate.spaces import bring, common

if TYPE_CHECKING:
    from edgevit.core.types import Floats, Pixels

_CHUNK = 64


def execute(asked: ExecuteRequest, emit: Emit) -> ExecutedAll:
    """Execute the files of one target. Runs in a worker."""
    import numpy as np

    from edgevit.quant import plan_file

    work = Path(asked.work)
    runtime = RUNTIMES.get(asked.runtime)
    pixels = np.load(work / messages.PIXELS)
    if asked.images is not None:
        pixels = pixels[asked.images.first : asked.images.end]
    if asked.fp32 is not None and asked.fp32.sites and _is_first(asked):
        float_runtime = RUNTIMES.get(asked.float_runtime or asked.runtime)
        confirm_sites(float_runtime, asked.fp32, pixels[:1], work / messages.site_values(asked.fp32.target))
    plans = plan_file.load(work / messages.PLANS) if asked.graphs else ()
    files = []
    for built in asked.files:
        plan = plan_file.find(plans, built.target, built.precision)
        begin = time.perf_counter()
        try:
            done = _execute_one(runtime, built, plan, pixels, asked, emit)
        except RefusedError as error:
            reasons = tuple(one.sentence for one in error.findings) or (error.message,)
            done = Executed(built.target, built.precision, 0.0, refused=reasons)
        except EdgevitError as error:
            message = locate(error.message, work, work / messages.GRAPH)
            trace = "".join(traceback.format_exception(error))
            done = Executed(built.target, built.precision, 0.0, error=message, trace=trace)
        files.append(replace(done, seconds=time.perf_counter() - begin))
        emit(FileDone(files[-1].target, files[-1].precision))
    return ExecutedAll(tuple(files))


def _is_first(asked: ExecuteRequest) -> bool:
    return asked.images is None or asked.images.first == 0


def _these(asked: ExecuteRequest, outputs: dict[str, Floats]) -> dict[str, Floats]:
    """The outputs of the images that are executed here."""
    if asked.images is None:
        return outputs
    return {name: values[asked.images.first : asked.images.end] for name, values in outputs.items()}


def _execute_one(
    runtime: Runtime,
    built: Built,
    plan: QuantPlan | None,
    pixels: Pixels,
    asked: ExecuteRequest,
    emit: Emit,
) -> Executed:
    assert built.path is not None
    path, work = Path(built.path), Path(asked.work)
    emit(Stage(f"executing {built.target} {built.precision}", len(pixels)))
    reference = _these(asked, named_outputs.load(work / messages.REFERENCE))
    options = RunOptions(asked.threads, (), asked.preprocess)
    # Before the runtime opens the file: what must not be opened is refused here.
    contents = runtime.contents(path)
    outputs = run_all(runtime, path, pixels, options, tuple(reference), lambda n: emit(Advance(n)))
    for name, wanted in reference.items():
        # (N,), (N, 1) and (N, C, 1, 1) are alike.
        if outputs[name][0].squeeze().shape == wanted[0].squeeze().shape:
            outputs[name] = outputs[name].reshape(wanted.shape)
        else:
            raise InputError(
                f"{path.name} gives {name} of shape {outputs[name].shape[1:]}, the float model "
                f"{wanted.shape[1:]}: it was made from another one",
                "give the model that it was made from with --reference",
            )
    begin = "" if asked.images is None else f"-{asked.images.first}"
    file = f"executed-{built.target}-{built.precision}{begin}.npz"
    named_outputs.save(work / file, outputs)
    if not _is_first(asked):
        return Executed(built.target, built.precision, 0.0, outputs=file, images=len(pixels))
    sites: tuple[SiteError, ...] = ()
    integer = runtime.integer_macs(path)
    kind, explanation = file_kind(contents, named_outputs.first(outputs)), ""
    if asked.reference is not None:
        sqnr = partial(sqnr_fed, runtime, path, options, reference, asked.reference, kind)
        explanation = explain(built.precision, contents, asked.preprocess, sqnr, pixels)
    if plan is not None and built.sites:
        emit(Stage(f"checking the sites of {built.target} {built.precision}"))
        # Without them the verdict is undecided, since no single site was compared: the outputs are there all the same.
        with suppress(UnreadableTensorsError):
            sites = compare_sites(
                runtime, built, pixels[: messages.SITE_IMAGES], plan, work / asked.graphs[built.precision]
            )
    return Executed(
        target=built.target,
        precision=built.precision,
        seconds=0.0,
        executed_by=runtime.executed_by(path),
        outputs=file,
        integer=integer,
        weight_bytes=dict(contents.weight_bytes),
        operators=sum(count for _, count in contents.operators),
        max_rank=contents.max_rank,
        sites=sites,
        output=kind,
        explanation=explanation,
        other_pixels=other_pixels(contents, asked.preprocess),
        takes=contents.inputs,
        gives=contents.outputs,
        requires=contents.requires,
        images=len(pixels),
    )


def sqnr_fed(
    runtime: Runtime,
    path: Path,
    options: RunOptions,
    reference: dict[str, Floats],
    kind: OutputKind,
    own: OutputKind,
    preprocess: Preprocess,
    pixels: Pixels,
) -> float:
    """SQNR of a file that is fed so, against the reference on the same images, where both can be compared."""
    outputs = run_all(
        runtime, path, pixels, replace(options, preprocess=preprocess), tuple(reference), lambda n: None
    )
    wanted = named_outputs.first(reference)[: len(pixels)]
    found = named_outputs.first(outputs).reshape(wanted.shape)
    both = common(kind, own)
    if both is not None:
        wanted, found = bring(wanted, kind.activation, both), bring(found, own.activation, both)
    return named_outputs.measure("sqnr", wanted, found)


def run_all(
    runtime: Runtime,
    path: Path,
    pixels: Pixels,
    options: RunOptions,
    names: tuple[str, ...],
    advance: Callable[[int], None],
) -> dict[str, Floats]:
    """The outputs `names` of a file on all images, each float32 (N, ...).

    A file of another tool may call its one output as it likes.

    Raises:
        InputError: an output is missing.
    """
    import numpy as np

    parts: dict[str, list[Floats]] = {name: [] for name in names}
    with runtime.open(path, options) as runner:
        for start in range(0, len(pixels), _CHUNK):
            chunk = pixels[start : start + _CHUNK]
            outputs = runner.run(chunk)
            if len(names) == 1:
                outputs[names[0]] = named_outputs.named(names[0], outputs)
            missing = [name for name in names if name not in outputs]
            if missing:
                raise InputError(
                    f"{path.name} has no output {', '.join(missing)}; it has {', '.join(outputs)}",
                    "give the model that it was made from with --reference",
                )
            for name in names:
                parts[name].append(np.asarray(outputs[name], np.float32))
            advance(len(chunk))
    joined = {name: np.concatenate(values) for name, values in parts.items()}
    for values in joined.values():
        if len(values) != len(pixels):
            raise StepError(f"{path.name} gave {len(values)} results for {len(pixels)} images")
    return joined
