"""Run the float model on many images."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgevit.core.errors import InputError
from edgevit.core.pixels import normalise
from edgevit.core.progress import Advance, Emit, Stage

if TYPE_CHECKING:
    from edgevit.core.types import Floats, Pixels, TorchModel


def run_float(
    model: TorchModel, pixels: Pixels, advance: Callable[[int], None] = lambda images: None
) -> dict[str, Floats]:
    """Outputs by name, each float32 (N, ...), of uint8 pixels (N, height, width, 3).

    Normalised chunk by chunk: as floats, ten thousand images of 224x224 would fill 6 GB.
    """
    import numpy as np
    import torch

    names = [output.name for output in model.spec.outputs]
    parts: dict[str, list[Floats]] = {name: [] for name in names}
    with torch.no_grad():
        for start in range(0, len(pixels), 32):
            chunk = torch.from_numpy(normalise(pixels[start : start + 32], model.spec.preprocess))
            out = model.module(chunk)
            for name, value in zip(names, (out,) if isinstance(out, torch.Tensor) else out, strict=True):
                parts[name].append(value.numpy())
            advance(len(chunk))
    return {name: np.concatenate(values) for name, values in parts.items()}


def run_reference(model: TorchModel, pixels: Pixels, emit: Emit) -> dict[str, Floats]:
    """Outputs of the float model on all images by name, each float32 (N, ...); the stage is told.

    Raises:
        InputError: one of them is not finite.
    """
    import numpy as np

    emit(Stage("running the float reference", len(pixels)))
    found = run_float(model, pixels, lambda images: emit(Advance(images)))
    bad = [name for name, values in found.items() if not np.isfinite(values).all()]
    if bad:
        raise InputError(
            f"the float model gives NaN or infinite values in its output {bad[0]} on these images",
            "check its weights and preprocessing",
        )
    return found
