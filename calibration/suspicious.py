"""Do these images look like what a model is used for? Each doubt with the figure that raised it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgevit.core.types import Stats

# Below this many, the largest value of an activation is mostly luck.
FEWEST_FOR_RANGES: Final = 16
# Grey levels between the darkest and the brightest pixel of an image that shows nothing.
FLAT: Final = 2
_NAMED: Final = 6


def doubts(
    pixels: NDArray[np.uint8],
    labels: NDArray[np.int64] | None,
    names: tuple[str, ...],
    role: str,
    for_ranges: bool = False,
) -> tuple[str, ...]:
    """One sentence for each doubt.

    Args:
        pixels: uint8 (N, height, width, 3).
        labels: int64 (N,), None if unlabelled.
        names: of the classes, empty if unknown.
        role: what the images are for, such as `calibration`.
        for_ranges: static ranges of activations are measured on them.
    """
    count = len(pixels)
    found = []
    if for_ranges and count < FEWEST_FOR_RANGES:
        found.append(
            f"{count} {role} images are few to measure ranges on; {FEWEST_FOR_RANGES} are the least that says "
            "anything, 128 are usual"
        )
    flat, brightest = _flat(pixels)
    if flat == count:
        colour = "black" if brightest <= FLAT else "of one colour each"
        found.append(
            f"all {count} {role} images are {colour}: no pixel differs by more than {FLAT} of 255 from another "
            f"one of its image, the brightest is {brightest}"
        )
    elif flat:
        found.append(
            f"{flat} of {count} {role} images are of one colour: no pixel differs by more than {FLAT} of 255"
        )
    elif count > 1 and all((image == pixels[0]).all() for image in pixels[1:]):
        found.append(f"all {count} {role} images are the same image")
    if labels is not None and count > 1 and (labels == labels[0]).all():
        index = int(labels[0])
        name = f"{names[index]} (class {index})" if index < len(names) else f"class {index}"
        found.append(f"all {count} {role} images show {name}; images of every class represent a model's use")
    return tuple(found)


def constant_activations(stats: Stats) -> tuple[str, ...]:
    """One sentence about the tensors that had a single value on all calibration images."""
    still = {
        tensor: float(limits[0])
        for (tensor, observer), limits in stats.values.items()
        if observer == "minmax" and limits[0] == limits[1]
    }
    if not still:
        return ()
    named = ", ".join(f"{tensor} ({value:g})" for tensor, value in list(still.items())[:_NAMED])
    more = f" and {len(still) - _NAMED} more" if len(still) > _NAMED else ""
    return (
        f"activations with one value throughout all {stats.images} calibration images: {named}{more}; "
        "their layers are dead, or the images do not reach them",
    )


def _flat(pixels: NDArray[np.uint8]) -> tuple[int, int]:
    """How many images show nothing, and the brightest value of all."""
    flat = sum(
        int((image.max(axis=(0, 1)).astype(int) - image.min(axis=(0, 1))).max()) <= FLAT for image in pixels
    )
    return flat, int(pixels.max(initial=0))
