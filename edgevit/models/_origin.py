"""Where preprocessing comes from: what a model states, what the user gives, and when to stop and ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from edgevit.core.errors import UsageError
from edgevit.core.plugins import LoadRequest
from edgevit.core.types import NOT_STATED, Preprocess
from edgevit.models._channels import channels_of
from edgevit.models._preprocess import for_channels, imagenet, override

if TYPE_CHECKING:
    import torch

Stated = tuple[Preprocess, str]

_HINT: Final = (
    "say what the training code did: --preprocess normalize=imagenet (or clip, -1..1, 0..1, 0..255), or "
    "--preprocess mean=R,G,B --preprocess std=R,G,B; add color=bgr, resize=N or interpolation=NAME where they apply"
)

_HINT_BANDS: Final = (
    "say what the training code did: --preprocess normalize=-1..1 (or 0..1, 0..255), or --preprocess mean=M "
    "--preprocess std=S, with one number or one for each channel"
)


def stated(found: Preprocess, origin: str, request: LoadRequest) -> Stated:
    """What a model states, changed by `--preprocess`, and where each part is from.

    Raises:
        UsageError: a wrong `--preprocess`.
    """
    given = request.preprocess
    if given:
        origin += f", except {_listed(given)}, given by --preprocess"
    return override(found, given), origin


def for_module(found: Preprocess, origin: str, module: torch.nn.Module, request: LoadRequest) -> Stated:
    """`for_images` of as many channels as the module takes."""
    return for_images(found, origin, channels_of(module, (found.height, found.width)), request)


def for_images(found: Preprocess, origin: str, channels: int, request: LoadRequest) -> Stated:
    """`stated`, unless images have another number of channels than `found` has mean and std for.

    Raises:
        UsageError: a wrong `--preprocess`, or none where it is needed; see `not_stated`.
    """
    if channels == found.channels:
        return stated(found, origin, request)
    return not_stated(
        request,
        (found.height, found.width),
        f"it takes {channels} channel{'s' if channels > 1 else ''}, and {origin} has mean and std of {found.channels}",
        for_channels(found, channels),
    )


def not_stated(
    request: LoadRequest, size: tuple[int, int], why: str, assumed: Preprocess | None = None
) -> Stated:
    """Preprocessing of a model that states none: from `--preprocess`, or ImageNet's for random weights.

    Wrong statistics cost accuracy without any error, so that they are never guessed for trained weights.

    Args:
        size: (height, width) of the input.
        why: what was looked for, as the end of "nothing says how images are prepared for MODEL: ...".
        assumed: everything besides mean and std, where it differs from a bicubic resize of RGB images.

    Raises:
        UsageError: mean and std are not given although the weights may be trained.
    """
    given = request.preprocess
    found = override(assumed or imagenet(size), given)
    if "normalize" in given or {"mean", "std"} <= set(given):
        return found, f"--preprocess ({_listed(given)}){_assumed(found, given)}"
    colours = assumed is None or assumed.color in ("rgb", "bgr")
    if request.random_weights is not None:
        usual = "ImageNet" if colours else "-1..1"
        return stated(assumed or imagenet(size), f"{usual}, since random weights have none", request)
    if not request.needs_preprocess:
        return found, NOT_STATED
    raise UsageError(
        f"nothing says how images are prepared for {request.source}: {why}", _HINT if colours else _HINT_BANDS
    )


def _assumed(found: Preprocess, given: Mapping[str, str]) -> str:
    parts = []
    if "color" not in given and found.color in ("rgb", "bgr"):
        parts.append(f"color={found.color}")
    if not {"resize", "crop_pct"} & set(given):
        height, width = found.resize
        both = not found.shorter_side or height != width
        parts.append(f"resize={height}x{width}" if both else f"resize={height}")
    if "interpolation" not in given:
        parts.append(f"interpolation={found.interpolation}")
    return f"; assumed: {', '.join(parts)}" if parts else ""


def _listed(given: Mapping[str, str]) -> str:
    return ", ".join(given)
