"""Do the calibration images stand for those that files are judged on? What planned ranges make of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from edgevit.core.pixels import normalise
from edgevit.core.plans import QuantPlan
from edgevit.core.progress import Advance, Emit, Stage
from edgevit.core.results.report import RangeFit, TensorRange
from edgevit.core.types import Graph, Preprocess

if TYPE_CHECKING:
    import torch

    from edgevit.core.types import Pixels
    from edgevit.quant.clipping import Quantized, RangeUse


# Shares settle with few images, evenly taken from each set.
IMAGES: Final = 64
# Clipping that takes away less than this of a tensor's energy (30 dB) does not show beside 8-bit rounding.
HARMLESS: Final = 1e-3
# The ranges chose how much they clip on the calibration images; ten times that energy was not chosen.
TIMES: Final = 10.0
# A few values further out than any before are luck, unless they take this much of the energy (15 dB) with them.
# Otherwise the share of clipped values must have grown to three times its size, and by one in a thousand.
SPOILED: Final = 0.03
SHARE_TIMES: Final = 3.0
SHARE: Final = 1e-3
# Of a range that calibration images fill and others leave empty by this much, more than a bit is lost.
EMPTY: Final = 0.6


def compare(
    plans: tuple[QuantPlan, ...],
    graphs: tuple[Graph, ...],
    calibrate: Pixels | None,
    evaluate: Pixels | None,
    preprocess: Preprocess,
    emit: Emit,
) -> tuple[tuple[RangeFit | None, ...], tuple[str, ...]]:
    """How the static ranges of each plan fit both sets, and one sentence for each clear difference.

    Args:
        graphs: of each plan.
        calibrate, evaluate: uint8 (N, height, width, 3); with one of them missing there is nothing to compare.

    Returns:
        For each plan its fit, None where it has no static ranges, and the sentences.
    """
    if calibrate is None or evaluate is None:
        return (None,) * len(plans), ()
    from calibration.unlike import unlike

    sets = _evenly(calibrate, preprocess), _evenly(evaluate, preprocess)
    fits = range_fits(plans, graphs, *sets, emit)
    return fits, (*unlike(calibrate, evaluate), *misfits(plans, fits))


def range_fits(
    plans: tuple[QuantPlan, ...],
    graphs: tuple[Graph, ...],
    calibrate: torch.Tensor,
    evaluate: torch.Tensor,
    emit: Emit,
) -> tuple[RangeFit | None, ...]:
    """For each plan how its static ranges fit both sets; None where it has none.

    Args:
        graphs: of each plan.
        calibrate, evaluate: float32 (N, 3, height, width), normalised.
    """
    from edgevit.quant.clipping import quantized_tensors, range_use

    found = [quantized_tensors(graph, plan) for graph, plan in zip(graphs, plans, strict=True)]
    wanted: dict[int, tuple[Graph, set[Quantized]]] = {}
    for graph, tensors in zip(graphs, found, strict=True):
        if tensors:
            wanted.setdefault(id(graph), (graph, set()))[1].update(tensors)
    if not wanted:
        return (None,) * len(plans)
    sets = calibrate, evaluate
    emit(Stage("holding ranges against the images", len(wanted) * sum(map(len, sets))))
    used = {
        key: tuple(
            range_use(graph, frozenset(tensors), images, lambda n: emit(Advance(n))) for images in sets
        )
        for key, (graph, tensors) in wanted.items()
    }
    return tuple(
        _fit(tensors, *used[id(graph)]) if tensors else None
        for graph, tensors in zip(graphs, found, strict=True)
    )


def misfits(plans: tuple[QuantPlan, ...], fits: tuple[RangeFit | None, ...]) -> tuple[str, ...]:
    """One sentence for each plan whose ranges fit the calibration images and not the others.

    Plans with the same worst tensor share a sentence.
    """
    grouped: dict[str, list[str]] = {}
    for plan, fit in zip(plans, fits, strict=True):
        for text in () if fit is None else _doubts(fit):
            grouped.setdefault(text, []).append(f"{plan.target} {plan.precision}")
    return tuple(f"{', '.join(names)}: {text}" for text, names in grouped.items())


def _evenly(pixels: Pixels, preprocess: Preprocess) -> torch.Tensor:
    import torch

    from calibration.load import evenly

    return torch.from_numpy(normalise(pixels[list(evenly(len(pixels), IMAGES))], preprocess))


def _fit(
    tensors: Mapping[Quantized, str],
    calibrate: Mapping[Quantized, RangeUse],
    evaluate: Mapping[Quantized, RangeUse],
) -> RangeFit | None:
    both = [(site, calibrate[key], evaluate[key]) for key, site in tensors.items() if key in calibrate]
    if not both:
        return None
    rows = [
        TensorRange(site, c.clipped, e.clipped, c.noise, e.noise, c.unused, e.unused) for site, c, e in both
    ]
    count = len(rows)
    return RangeFit(
        tensors=count,
        clipped_calibrate=sum(row.clipped_calibrate for row in rows) / count,
        clipped_evaluate=sum(row.clipped_evaluate for row in rows) / count,
        unused_calibrate=sum(row.unused_calibrate for row in rows) / count,
        unused_evaluate=sum(row.unused_evaluate for row in rows) / count,
        most_clipped=max(rows, key=lambda row: row.noise_evaluate / (row.noise_calibrate + HARMLESS)),
        least_used=max(rows, key=lambda row: row.unused_evaluate - row.unused_calibrate),
    )


def _clips_more(tensor: TensorRange) -> bool:
    """Whether clipping costs far more on the evaluation images than on the calibration images."""
    before, after = tensor.noise_calibrate, tensor.noise_evaluate
    more = tensor.clipped_evaluate >= SHARE_TIMES * tensor.clipped_calibrate + SHARE
    return after >= max(HARMLESS, TIMES * before) and (more or after >= SPOILED)


def _doubts(fit: RangeFit) -> tuple[str, ...]:
    found = []
    most, least = fit.most_clipped, fit.least_used
    if _clips_more(most):
        found.append(
            f"its ranges clip {100 * fit.clipped_evaluate:.2g} % of the values on the evaluation images and "
            f"{100 * fit.clipped_calibrate:.2g} % on the calibration images; {most.site} suffers most with "
            f"{100 * most.clipped_evaluate:.2g} % against {100 * most.clipped_calibrate:.2g} %. Calibrate on images "
            "like those that the model will see"
        )
    if least.unused_evaluate - least.unused_calibrate >= EMPTY:
        found.append(
            f"the evaluation images leave {100 * least.unused_evaluate:.0f} % of the range of {least.site} unused, "
            f"the calibration images {100 * least.unused_calibrate:.0f} %: its grid is coarser than it need be"
        )
    return tuple(found)
