"""One forward pass of a model that was just made, to look at what it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgevit.core.errors import StepError

if TYPE_CHECKING:
    import torch


def forward(module: torch.nn.Module, image: torch.Tensor, name: str) -> Any:
    """What `module` returns for `image`, float32 (1, 3, height, width), without gradients.

    Args:
        name: what the message calls the model.

    Raises:
        StepError: the forward pass failed; most often the size of the image does not fit.
    """
    import torch

    try:
        with torch.no_grad():
            return module(image)
    except Exception as error:  # a model may raise anything
        height, width = image.shape[-2:]
        raise StepError(
            f"the model {name} fails on one {height}x{width} image: {type(error).__name__}: {str(error)[:300]}",
            "--image-size sets the size (HEIGHTxWIDTH)",
        ) from error
