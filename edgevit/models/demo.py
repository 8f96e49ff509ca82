"""The embedded demo: a small MobileViT that tells clothes apart."""

from __future__ import annotations

import json
from typing import Final

from edgevit.core.assets import demo_asset
from edgevit.core.plugins import LoadRequest, Source
from edgevit.core.require import require
from edgevit.core.types import TorchModel
from edgevit.formats.labels import read_labels
from edgevit.models._checkpoint.weights import load_weights
from edgevit.models._origin import stated
from edgevit.models._preprocess import from_timm
from edgevit.models._request import chosen_weights, given_weights, refuse, weights_origin
from edgevit.models._spec import build


def load(request: LoadRequest) -> TorchModel:
    """Load the demo; it needs no network.

    Raises:
        UsageError: a flag that would make it another model.
    """
    refuse(request, "the demo is one fixed model", "num_classes", "image_size", "model_args")
    timm = require("timm")
    config = json.loads(demo_asset("config.json").read_text(encoding="utf-8"))
    module = timm.create_model(config["architecture"], num_classes=config["num_classes"])
    side = config["input_size"]
    own = from_timm({**config, "input_size": (3, side, side), "crop_mode": "center"}, None)
    preprocess, origin = stated(own, "the demo's own configuration", request)
    chosen = chosen_weights(module, request)
    notes = given_weights(module, request, (side, side), chosen=chosen)
    if notes is None:
        notes = load_weights(module, demo_asset("model.safetensors"))
    return build(
        module,
        name="demo",
        source=request.source,
        preprocess=preprocess,
        preprocess_origin=origin,
        weights_origin=weights_origin(request, chosen),
        warnings=notes,
        labels=request.labels or read_labels(demo_asset("labels.txt")),
        author="the edgevit authors",
        license="Apache-2.0",
    )


SOURCE: Final = Source(
    summary="a small MobileViT trained on Fashion-MNIST, inside the package",
    syntax="demo",
    load=load,
    images="demo",
    self_contained=lambda argument, weights: True,
)
