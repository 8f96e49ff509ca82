"""timm's feature extractors: `--model-arg features_only=true`, with `out_indices` where not all maps are wanted.

timm makes them by taking a model apart, which renames its weights. So the whole model is made and filled first,
from whatever file, and the extractor gets its weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from edgevit.core.errors import UnsupportedError
from edgevit.models._timm.model import create

if TYPE_CHECKING:
    import torch

_ARGUMENTS: Final = ("features_only", "out_indices", "feature_cls")


def whole(arguments: Mapping[str, object]) -> dict[str, object]:
    """The arguments of `timm.create_model` for the model that the features are taken from."""
    if not arguments.get("features_only"):
        return dict(arguments)
    return {key: value for key, value in arguments.items() if key not in _ARGUMENTS}


def features(name: str, arguments: Mapping[str, Any], filled: torch.nn.Module) -> torch.nn.Module:
    """The extractor that `arguments` ask for, with the weights of `filled`; `filled` itself if they ask for none.

    It maps an image to its feature maps by the names of the modules that make them (`stages_0`).

    Raises:
        UsageError: an architecture that timm takes no features from, or other indices than it has.
        UnsupportedError: an extractor with weights that the model does not have.
    """
    if not arguments.get("features_only"):
        return filled
    extractor = create(name, dict(arguments))
    known = {_plain(key): value for key, value in filled.state_dict().items()}
    own = extractor.state_dict()
    missing = [key for key in own if _plain(key) not in known or known[_plain(key)].shape != own[key].shape]
    if missing:
        raise UnsupportedError(
            f"timm's features of {name} hold {missing[0]}, which the model does not have",
            "give the extractor as python:FILE:FACTORY",
        )
    extractor.load_state_dict({key: known[_plain(key)] for key in own})
    return _named(extractor)


def _plain(key: str) -> str:
    """`stages.0.norm` and `stages_0.norm`, with or without the extractor's own prefix."""
    return key.removeprefix("model.").replace(".", "_")


def _named(extractor: torch.nn.Module) -> torch.nn.Module:
    import torch

    information: Any = extractor.feature_info
    names = [re.sub(r"\W+", "_", str(name)) for name in information.module_name()]
    unique = [n if names.count(n) == 1 else f"{n}_{index}" for index, n in enumerate(names)]

    class Features(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = extractor

        def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
            return dict(zip(unique, self.model(image), strict=True))

    return Features()
