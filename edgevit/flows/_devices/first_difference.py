"""Where a file that computes something else on a device begins to do so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgevit.core.errors import DeviceLostError, EdgevitError
from edgevit.core.settings.recipe import Recipe
from edgevit.core.types import Preprocess
from edgevit.devices.session import Chunk, Session
from edgevit.flows import _jobs
from edgevit.flows._devices.measure import ToMeasure
from edgevit.flows._devices.outputs import read_outputs
from edgevit.registries import RUNTIMES
from edgevit.steps import messages, named_outputs
from edgevit.steps.device_file import device_runtime
from edgevit.steps.tapped_file import Tapped, TapRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = Mapping[str, NDArray[np.generic]]

# A tensor that is so far off has been computed differently; roundings of two processors' kernels stay above it.
DIFFERS_DB: Final = 30.0


def first_difference(session: Session, file: ToMeasure, recipe: Recipe, folder: Path, fed: Preprocess) -> str:
    """The first tensor of the file that is something else on the device, in one sentence; on the first image.

    The file is executed with every tensor among its outputs, which keeps a runtime from fusing operators: a fault that
    only a fused kernel has is not seen, and the sentence then says that no layer lies below DIFFERS_DB.

    Raises:
        DeviceLostError: the connection broke.
    """
    import numpy as np

    runtime = device_runtime(file.target)
    if RUNTIMES.get(runtime).tapped is None:
        return f"{runtime} gives out no intermediate values, so that the layer is not known"
    request = TapRequest(str(folder), runtime, str(file.path.absolute()), fed)
    step = f"tapping {file.path.name}"
    try:
        job = _jobs.job(step, "tapped_file:tap", request, recipe, 1, _jobs.silent, [folder], data_only=True)
        tapped = _jobs.run(job, Tapped)
        image = folder / "tapped-image.npy"
        np.save(image, np.load(folder / messages.PIXELS, mmap_mode="r")[:1])
        there = folder / "tapped-there.npz"
        session.execute(
            session.store.put(folder / tapped.copy),
            tapped.file,
            (Chunk(session.store.put_array(image), there),),
            threads=recipe.threads,
            unit="all",
            timeout=recipe.timeout,
            done=lambda chunk, images: None,
        )
        values = read_outputs(tapped.file, there)
    except DeviceLostError:
        raise
    except EdgevitError as error:
        return f"which layer differs could not be found out: {error.message}"
    return told(tapped.taps, named_outputs.load(folder / tapped.values), values)


def told(taps: Sequence[tuple[str, str]], here: Values, there: Values) -> str:
    """The first tensor below DIFFERS_DB, else the one that fares worst.

    Args:
        taps: (tensor, its site) in the order of their computation.
    """
    import numpy as np

    found = []
    for tensor, site in taps:
        if tensor in here and tensor in there and here[tensor].shape == there[tensor].shape:
            ours, theirs = np.asarray(here[tensor], np.float32), np.asarray(there[tensor], np.float32)
            found.append((named_outputs.measure("sqnr", ours, theirs), site or tensor))
    first = next(((db, name) for db, name in found if db < DIFFERS_DB), None)
    if first is not None:
        return f"the first layer that differs is {first[1]}: {first[0]:.1f} dB against here, on one image"
    if not found:
        return "the device gave none of the tensors that it was asked for"
    db, name = min(found)
    return f"no single layer is below {DIFFERS_DB:.0f} dB against here on one image; the worst is {name}, {db:.1f} dB"
