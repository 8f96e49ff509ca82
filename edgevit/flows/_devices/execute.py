"""Execute and time files on the devices that `--device` names, on the same images as here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

from edgevit.core.errors import DeviceError, DeviceLostError, EdgevitError, UnsupportedError
from edgevit.core.precisions import Precision, Variant
from edgevit.core.process import worker
from edgevit.core.progress import Progress
from edgevit.core.results.device import OperatorTimes
from edgevit.core.results.profile import FileProfile
from edgevit.core.results.report import Device
from edgevit.core.settings.recipe import Recipe
from edgevit.core.types import Preprocess
from edgevit.devices.runtimes import is_for, lacks
from edgevit.devices.session import Chunk, Session, persist
from edgevit.flows._devices.describe import describe
from edgevit.flows._devices.first_difference import first_difference
from edgevit.flows._devices.measure import Options, ToMeasure, measure, operators_of
from edgevit.flows._devices.outputs import joined, named_outputs_of
from edgevit.flows._devices.sessions import session_on
from edgevit.flows._run_execute import TIMED_RUNS
from edgevit.steps import messages, named_outputs
from edgevit.steps.messages import Built, Executed
from edgevit.validate import device_latency
from edgevit.validate.verdict import EXACT_DB, FLOAT16_DB

# Images that travel together: 10 MB at 224x224.
_CHUNK: Final = 64


@dataclass(frozen=True, slots=True)
class ExecutedThere:
    """One file on one device.

    Attributes:
        outputs: name of the file in the work folder with what it gave for each image, named and shaped as the
            reference; None where it was not executed, and then `error` says why.
        profile: its latency; None where times mean nothing.
        difference: the first layer that computes something else there; "" where nothing was looked for.
        kernels: what executes its operators; None where the runtime does not tell, and then `untold` says why.
    """

    outputs: str | None = None
    executed_by: str | None = None
    error: str = ""
    profile: FileProfile | None = None
    difference: str = ""
    kernels: OperatorTimes | None = None
    untold: str = ""


@dataclass(frozen=True, slots=True)
class OneDevice:
    """What one device executed.

    Attributes:
        error: why it executed nothing.
        not_for_it: files that are not meant for such a device.
    """

    where: str
    device: Device | None = None
    files: Mapping[Variant, ExecutedThere] = field(default_factory=dict)
    error: str = ""
    not_for_it: frozenset[Variant] = frozenset()


def execute_on_devices(
    files: Mapping[str, tuple[Built, ...]],
    executed: Mapping[Variant, Executed],
    recipe: Recipe,
    folder: Path,
    fed: Preprocess,
    progress: Progress,
) -> tuple[OneDevice, ...]:
    """Execute every file on every device of the recipe; a device that fails costs its own column alone.

    Args:
        files: target -> files that exist.
        executed: what their execution here gave.
        folder: with the images and the reference's outputs; it gets the outputs.
        fed: preprocessing of files that carry none.
    """
    if not recipe.device:
        return ()
    described, unread = _described(files, recipe, fed)
    found = []
    for number, where in enumerate(recipe.device):
        try:
            found.append(_one_device(number, where, described, executed, recipe, folder, fed, progress))
        except EdgevitError as error:
            progress.warn(f"{where}: {error.message}")
            progress.trace(f"executing on {where}:\n{worker.trace_of(error)}")
            found.append(
                OneDevice(where, error=f"{error.message} ({error.hint})" if error.hint else error.message)
            )
    failed = {variant: ExecutedThere(error=why) for variant, why in unread.items()}
    return tuple(replace(one, files={**failed, **one.files}) for one in found)


def _described(
    files: Mapping[str, tuple[Built, ...]], recipe: Recipe, fed: Preprocess
) -> tuple[dict[Variant, ToMeasure], dict[Variant, str]]:
    """What the agent must know of each file, and why of some it cannot be known."""
    known: dict[Variant, ToMeasure] = {}
    unread: dict[Variant, str] = {}
    for target, made in files.items():
        floats = next((str(b.variant) for b in made if b.precision is Precision.FP32 and b.path), "")
        for built in made:
            if built.path is None or built.error:
                continue
            name, path = str(built.variant), Path(built.path)
            try:
                known[built.variant] = describe(name, target, path, floats, recipe, fed)
            except EdgevitError as error:
                unread[built.variant] = error.message
    return known, unread


def _one_device(
    number: int,
    where: str,
    files: Mapping[Variant, ToMeasure],
    executed: Mapping[Variant, Executed],
    recipe: Recipe,
    folder: Path,
    fed: Preprocess,
    progress: Progress,
) -> OneDevice:
    chunks = _chunks(folder)
    place = folder / f"device-{number}"
    place.mkdir(exist_ok=True)
    done: dict[Variant, ExecutedThere] = {}

    def work(session: Session) -> OneDevice:
        state = session.state()
        notes = device_latency.warnings(session.fingerprint, state)
        others = frozenset(v for v, f in files.items() if not is_for(session.fingerprint, f.path.suffix[1:]))
        if others and len(others) == len(files):
            raise UnsupportedError(
                f"none of the files is for {where}: Core ML files are executed on a Mac alone",
                "give the address of a Mac, or convert for other targets too",
            )
        if others:
            left_out = ", ".join(sorted(map(str, others)))
            notes = (*notes, f"not executed there, since Core ML files are for a Mac alone: {left_out}")
        options = Options(runs=TIMED_RUNS, threads=recipe.threads, timeout=recipe.timeout, operators=False)
        remote = [session.store.send_array(chunk) for chunk in chunks]
        for variant, file in files.items():
            if variant in done or variant in others:  # before the connection broke, or for a Mac
                continue
            why_not = lacks(session.fingerprint, file.path.suffix[1:])
            if why_not:
                done[variant] = ExecutedThere(error=why_not)
                continue
            try:
                there = _execute(session, variant, file, remote, recipe, place, progress)
                if _differs(folder, variant, executed.get(variant), there):
                    found = first_difference(session, file, recipe, folder, fed)
                    there = replace(there, difference=found)
                kernels, untold = operators_of(session, file, session.store.put(file.path), 1, options)
                done[variant] = replace(there, kernels=kernels, untold=untold)
            except DeviceLostError:
                raise
            except EdgevitError as error:
                done[variant] = ExecutedThere(error=error.message)
        device = Device(where, session.fingerprint, state, notes)
        if session.fingerprint.emulated:
            return OneDevice(where, device, done, not_for_it=others)
        good = [file for variant, file in files.items() if variant in done and done[variant].outputs]
        profiles = {p.artifact: p for p in measure(session, good, options, progress)}
        timed = {v: replace(one, profile=profiles.get(str(v))) for v, one in done.items()}
        return OneDevice(where, device, timed, not_for_it=others)

    return persist(partial(session_on, where), work, progress.warn)


def _differs(folder: Path, variant: Variant, here: Executed | None, there: ExecutedThere) -> bool:
    """Whether it may fail for what it computes there, so that it is worth while to look for the layer."""
    if here is None or here.outputs is None or there.outputs is None:
        return False
    ours, theirs = named_outputs.load(folder / here.outputs), named_outputs.load(folder / there.outputs)
    theirs = named_outputs.head(theirs, len(named_outputs.first(ours)))
    return named_outputs.worst("sqnr", ours, theirs) < (
        EXACT_DB if variant.precision is Precision.FP32 else FLOAT16_DB
    )


def _chunks(folder: Path) -> list[Path]:
    """The evaluation images in files of their own, as they travel."""
    import numpy as np

    pixels = np.load(folder / messages.PIXELS, mmap_mode="r")
    found = []
    for start in range(0, len(pixels), _CHUNK):
        path = folder / f"pixels-{start}.npy"
        if not path.exists():
            np.save(path, pixels[start : start + _CHUNK])
        found.append(path)
    return found


def _execute(
    session: Session,
    variant: Variant,
    file: ToMeasure,
    pixels: Sequence[str],
    recipe: Recipe,
    place: Path,
    progress: Progress,
) -> ExecutedThere:
    """One file on all images; chunks whose outputs are here already are not asked for again."""
    name = f"{variant.target}-{variant.precision}"
    chunks = [Chunk(there, place / f"{name}-{index}.npz") for index, there in enumerate(pixels)]
    reference = named_outputs.load(place.parent / messages.REFERENCE)
    missing = tuple(chunk for chunk in chunks if not chunk.outputs.exists())
    progress.stage(f"executing {variant} on {session.place.where}", len(named_outputs.first(reference)))
    executed_by = session.execute(
        session.store.put(file.path),
        file.file,
        missing,
        threads=recipe.threads,
        unit="all",
        timeout=recipe.timeout,
        done=lambda chunk, images: progress.advance(images),
    )
    parts = [named_outputs_of(file.file, chunk.outputs, tuple(reference)) for chunk in chunks]
    outputs = {}
    for output, wanted in reference.items():
        values = joined(output, [part[output] for part in parts])
        if values.size != wanted.size or len(values) != len(wanted):
            raise DeviceError(
                f"{session.place.where} gave {output} of shape {values.shape}, the float model {wanted.shape}",
                "see whether the file is one of the model given with --reference",
            )
        outputs[output] = values.reshape(wanted.shape)
    saved = f"{place.name}/{name}.npz"
    named_outputs.save(place.parent / saved, outputs)
    return ExecutedThere(saved, executed_by)
