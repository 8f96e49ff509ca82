"""How far PyTorch in float32 is from itself in float64: a file cannot be held to more."""

from __future__ import annotations

from bench._peer_input import pixels_of
from bench.zoo_models import Entry
from edgevit.core.modeltext import parse_source
from edgevit.core.pixels import normalise
from edgevit.core.plugins import LoadRequest
from edgevit.registries import METRICS, SOURCES

IMAGES = 16


def rounding_db(entry: Entry) -> float:
    """SQNR in dB of the first output, on the images and with the seeded weights of the row."""
    import torch

    source, argument = parse_source(entry.model)
    seed = int(entry.flags[entry.flags.index("--random-weights") + 1])
    model = SOURCES.get(source).load(LoadRequest(source=entry.model, argument=argument, random_weights=seed))
    pixels, _ = pixels_of(model.spec, f"synthetic:{IMAGES}", IMAGES)
    images = torch.from_numpy(normalise(pixels, model.spec.preprocess))
    with torch.no_grad():
        single = model.module.eval()(images)
        double = model.module.double()(images.double())
    return METRICS.get("sqnr").compute(double.numpy(), single.double().numpy(), None)
