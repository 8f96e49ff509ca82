"""The usual ways to feed a model: either order of the colours with each usual normalisation."""

from __future__ import annotations

from edgevit.core.types import Preprocess
from edgevit.models._preprocess import NORMALIZATIONS, normalization, override


def alternatives(
    given: Preprocess, flag: str, grey: bool = False, turned: bool = False
) -> dict[tuple[str, ...], Preprocess]:
    """What has to be said, such as `FLAG normalize=0..1` -> that preprocessing, without what was given.

    Those that change least and are most usual come first.

    Args:
        flag: the option that takes KEY=VALUE.
        grey: the images have no colour, so that the order of the channels makes no difference.
        turned: with the channels in the other order, mean and std may also go with their colours.
    """
    swapped = {"color": "bgr" if given.color == "rgb" else "rgb"}
    coloured = given.color in ("rgb", "bgr") and not grey
    asked: list[dict[str, str]] = [
        {"normalize": name} for name in NORMALIZATIONS if normalization(name, given.channels) is not None
    ]
    if coloured:
        asked = [swapped, *asked, *(swapped | other for other in asked)]
    if turned and coloured:
        norms = ((given.mean, given.std), *NORMALIZATIONS.values())
        asked += [swapped | {"mean": _reversed(mean), "std": _reversed(std)} for mean, std in norms]
    found: dict[tuple[str, ...], Preprocess] = {}
    for values in asked:
        one = override(given, values)
        if one != given and one not in found.values():
            found[tuple(f"{flag} {key}={value}" for key, value in values.items())] = one
    return found


def _reversed(values: tuple[float, ...]) -> str:
    return ",".join(str(value) for value in reversed(values))
