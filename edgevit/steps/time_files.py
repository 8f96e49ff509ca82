"""The step that times the files of one target beside its fp32 file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core.errors import InputError
from edgevit.core.plugins import Candidate, Runtime
from edgevit.core.progress import Emit, Stage
from edgevit.core.types import Preprocess
from edgevit.registries import RUNTIMES, TRANSPORTS
from edgevit.steps import messages
from edgevit.steps.messages import Timed, TimeRequest

if TYPE_CHECKING:
    from edgevit.core.types import Pixels


def measure(asked: TimeRequest, emit: Emit) -> Timed:
    """Time files, interleaved. Runs in a worker."""
    emit(Stage(f"timing {len(asked.paths)} files"))
    runtime = RUNTIMES.get(asked.runtime)
    image = _image(Path(asked.work) / messages.PIXELS, runtime, Path(asked.paths[0]))
    # How long an execution takes does not depend on the numbers that a file without preprocessing is fed.
    size, channels = (image.shape[1], image.shape[2]), image.shape[3]
    plain = Preprocess(*size, size, mean=(0.5,) * channels, std=(0.5,) * channels)
    preprocess = asked.preprocess or plain
    files = tuple(Candidate(Path(path), runtime, preprocess) for path in asked.paths)
    word = asked.device.partition(":")[0]
    timings = TRANSPORTS.get(word).measure(asked.device, files, image, asked.threads, asked.runs)
    return Timed(timings)


def _image(pixels: Path, runtime: Runtime, artifact: Path) -> Pixels:
    """The first evaluation image, or seeded noise of the size that the file asks for."""
    import numpy as np

    if pixels.exists():
        return np.array(np.load(pixels, mmap_mode="r")[:1])
    contents = runtime.contents(artifact)
    shape = contents.inputs[0].shape
    if contents.preprocess is not None:
        found = contents.preprocess
        height, width, channels = found.height, found.width, found.channels
    elif len(shape) == 4:
        last = shape[3] == 3 or shape[3] < shape[1]
        height, width, channels = shape[1:] if last else (*shape[2:], shape[1])
    else:
        raise InputError(
            f"{artifact.name} takes no image: its input is {shape}",
            "only files that take an image (1, height, width, channels) can be timed",
        )
    return np.random.default_rng(0).integers(0, 256, (1, height, width, channels), dtype=np.uint8)
