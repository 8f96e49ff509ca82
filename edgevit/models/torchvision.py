"""torchvision's classifiers: `torchvision:NAME`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from edgevit.core.errors import InputError, UsageError, nearest
from edgevit.core.plugins import LoadRequest, Source
from edgevit.core.require import require
from edgevit.core.types import Preprocess, TorchModel
from edgevit.models._checkpoint.classes import last_layers, settle, stored_classes
from edgevit.models._checkpoint.weights import load_weights
from edgevit.models._hub import url_file
from edgevit.models._origin import stated
from edgevit.models._preprocess import imagenet, override, triple
from edgevit.models._probe import size_refused
from edgevit.models._request import asked, chosen_weights, given_weights, literals, weights_origin
from edgevit.models._spec import build

if TYPE_CHECKING:
    import torch


def load(request: LoadRequest) -> TorchModel:
    """Create the classifier, fill it, and take preprocessing and labels from its default weights' record.

    Raises:
        UsageError: unknown name or argument.
        InputError: weights that don't fit, or no weights and no network.
        StepError: an image size that it cannot be made for.
    """
    require("torchvision")
    import torchvision

    name = request.argument
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise UsageError(f"torchvision has no classifier {name!r}", nearest(name, known))
    record = torchvision.models.get_model_weights(name).DEFAULT
    classes = len(record.meta["categories"])
    arguments: dict[str, Any] = literals(request.model_args)
    if request.num_classes is not None:
        arguments["num_classes"] = request.num_classes
    if request.image_size is not None and name.startswith("vit_"):
        if request.image_size[0] != request.image_size[1]:
            raise UsageError(f"torchvision:{name} takes square images only", "give --image-size N")
        arguments["image_size"] = request.image_size[0]
    module = _create(name, arguments)
    made_for = int(arguments.get("num_classes", classes))
    chosen = chosen_weights(module, request)
    stored = stored_classes(request, last_layers(module, made_for), chosen)
    settled = settle(request, made_for, stored, str(request.weights))
    if settled.number != made_for:
        module = _create(name, {**arguments, "num_classes": settled.number})
    origin = f"torchvision's record of the weights {record}"
    if request.weights is not None:
        origin += f", since {request.weights.name} holds none"
    own = _preprocess(record.transforms(), request.image_size)
    preprocess, origin = stated(own, origin, request)
    size = (preprocess.height, preprocess.width)
    notes = given_weights(module, request, size, chosen=chosen)
    if notes is None:
        if request.num_classes not in (None, classes):
            raise UsageError(
                f"the published weights of {name} have {classes} classes, not {request.num_classes}",
                "give --weights FILE or --random-weights SEED",
            )
        notes = load_weights(module, url_file(record.url), asked=asked(request, size))
    labels = tuple(record.meta["categories"]) if settled.number == classes else ()
    return build(
        module,
        name=name,
        source=request.source,
        preprocess=preprocess,
        preprocess_origin=origin,
        weights_origin=weights_origin(request, chosen, f"torchvision's {record}"),
        warnings=(*settled.notes, *notes),
        labels=request.labels or labels,
    )


def _create(name: str, arguments: dict[str, Any]) -> torch.nn.Module:
    import torchvision

    try:
        module: torch.nn.Module = torchvision.models.get_model(name, weights=None, **arguments)
    except AssertionError as error:
        raise size_refused(f"torchvision:{name}", error) from error
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"torchvision cannot make {name} with {arguments}: {error}", "check --model-arg"
        ) from error
    return module


def _preprocess(transforms: Any, size: tuple[int, int] | None) -> Preprocess:
    """From torchvision's ImageClassification preset; another size keeps the share that is cropped away."""
    try:
        crop, resize = int(transforms.crop_size[0]), int(transforms.resize_size[0])
        mean, std = triple(transforms.mean), triple(transforms.std)
        interpolation = str(transforms.interpolation.value)
    except (AttributeError, TypeError, IndexError) as error:
        raise InputError(
            f"the weights' preprocessing {transforms} is not understood",
            "say it with --preprocess, such as normalize=imagenet",
        ) from error
    height, width = size or (crop, crop)
    base = imagenet((height, width))
    return Preprocess(
        height=height,
        width=width,
        resize=(height * resize // crop, width * resize // crop),
        shorter_side=True,
        interpolation=override(base, {"interpolation": interpolation}).interpolation,
        mean=mean,
        std=std,
    )


SOURCE: Final = Source(
    summary="a classifier of torchvision, with weights from a file, seeded, or torchvision's own",
    syntax="torchvision:NAME",
    load=load,
    self_contained=lambda argument, weights: weights,
)
