"""Run the float model on many images."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgevit.core.pixels import normalise

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
