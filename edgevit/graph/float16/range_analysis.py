"""Which operations a float16 file must compute in float32, decided from what float16 does to each.

Going backwards from the outputs, every tensor gets the noise power that it may carry: as much as leaves
each operation that reads it within its own allowance, judged by the gain that rounding was seen to have
there, and never less than 40 dB below the tensor itself (more, if that does not suffice for the whole)
unless the tensor has to be float32. So a loss
that a later sum buries is no loss, and one that a later normalisation blows up reaches back as far as the
operations that must not round. A model that still falls short magnifies small losses of many operations:
there a whole stretch stays in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from edgevit.core.decibels import sqnr_db
from edgevit.core.results.report import KeptFloat32
from edgevit.core.types import Graph
from edgevit.graph.float16._rounding import INFINITE, LARGEST, error, power
from edgevit.graph.float16.float32_segment import find_segment
from edgevit.graph.float16.measure import Edge, Loss, measure
from edgevit.graph.float16.run import run_half
from edgevit.program.run import run
from edgevit.program.sites import total_macs

if TYPE_CHECKING:
    import torch

# What a float16 file has to reach, so what no operation may fall below alone.
REQUIRED_DB: Final = 40.0
# Many small losses add up: where the whole stays below the requirement and this margin, each operation
# has to be better.
_MARGIN_DB: Final = 2.0
# Where rounding is magnified, how much of it comes out differs from one runtime's rounding to another's.
_MAGNIFIED_MARGIN_DB: Final = 6.0
_STEPS_DB: Final = (REQUIRED_DB, REQUIRED_DB + 10, REQUIRED_DB + 20)
IMAGES: Final = 32
_MEASURED: Final = 8
# Multiply-accumulates that the two passes may take: a second or two each on one core.
_RANGE_MACS: Final = 40e9
_MEASURED_MACS: Final = 4e9


@dataclass(frozen=True, slots=True)
class _State:
    """What the way back has found so far.

    Attributes:
        required: share of its power that an operation's result may carry as noise.
        losses: site -> what was measured.
        readers: site -> (reader, what rounding the site's result does to it).
        allowed: site -> noise power that its result may carry.
        wide: site -> why its result must be stored in float32.
    """

    required: float
    losses: dict[str, Loss]
    readers: dict[str, list[tuple[Loss, Edge]]]
    allowed: dict[str, float] = field(default_factory=dict)
    wide: dict[str, str] = field(default_factory=dict)


def scan(graph: Graph, images: torch.Tensor) -> tuple[KeptFloat32, ...]:
    """The operations that must stay in float32, in execution order, each with its reason.

    Args:
        images: float32 (N, 3, height, width), normalised; at most 32 are used, fewer for a large model.
    """
    macs = max(total_macs(graph), 1)
    ranged = min(IMAGES, max(2, int(_RANGE_MACS / macs)))
    measured = min(_MEASURED, max(1, int(_MEASURED_MACS / macs)))
    losses, outputs = measure(graph, images[:ranged], measured)
    level = _levels(graph, images[:measured])
    kept: tuple[KeptFloat32, ...] = ()
    reached = 0.0
    for required in _STEPS_DB:
        kept = decide(losses, outputs, required)
        reached = level({k.site for k in kept})
        if reached >= REQUIRED_DB + _MARGIN_DB:
            return kept
    level = _levels(graph, _varied(images[:measured], measured))
    return _widened(kept, reached, tuple(loss.site for loss in losses[1:] if "#" not in loss.site), level)


def _levels(graph: Graph, images: torch.Tensor) -> Callable[[Collection[str]], float]:
    """Operations in float32 -> SQNR in dB of the output that is worst off when all others round."""
    exact = run(graph, images)[0]

    def level(keep: Collection[str]) -> float:
        return min(_level(g, e) for g, e in zip(run_half(graph, images, keep), exact, strict=True))

    return level


def _varied(images: torch.Tensor, count: int) -> torch.Tensor:
    """`count` images at most: fewer are repeated with less contrast, so that their roundings fall otherwise.

    Magnified rounding of one image differs by 10 dB with the luck of the rounding, and a search for the
    shortest stretch finds the luckiest.
    """
    import torch

    return torch.cat([images * (1 - 0.01 * again) for again in range(max(1, count // len(images)))])


def _widened(
    kept: tuple[KeptFloat32, ...],
    reached: float,
    sites: Sequence[str],
    level: Callable[[Collection[str]], float],
) -> tuple[KeptFloat32, ...]:
    """What was kept, and the stretch of operations without which the outputs are not exact enough."""
    reasons = {k.site: k.reason for k in kept}
    wanted = REQUIRED_DB + _MAGNIFIED_MARGIN_DB
    first, end = find_segment(sites, lambda more: level(reasons.keys() | more) >= wanted)
    why = (
        f"later operations magnify what {sites[first]} to {sites[end - 1]} round: "
        f"{reached:.1f} dB of the outputs are left without this stretch"
    )
    reasons = dict.fromkeys(sites[first:end], why) | reasons
    return tuple(KeptFloat32(site, reasons[site]) for site in sites if site in reasons)


def _level(got: torch.Tensor, exact: torch.Tensor) -> float:
    """SQNR in dB; infinite where nothing differs."""
    return sqnr_db(float(power(exact)), float(error(got, exact)), math.inf)


def decide(
    losses: Sequence[Loss], outputs: Sequence[str], required_db: float = REQUIRED_DB
) -> tuple[KeptFloat32, ...]:
    """From the measured losses to the operations that stay in float32.

    Args:
        losses: in execution order, that of `image` first.
        outputs: sites of the program's outputs.
        required_db: SQNR that no operation's result may fall below by one rounding.
    """
    required = 10 ** (-required_db / 10)
    state = _State(required, {loss.site: loss for loss in losses}, {loss.site: [] for loss in losses})
    for loss in losses:
        for edge in loss.edges:
            if edge.source in state.readers:
                state.readers[edge.source].append((loss, edge))
    for loss in reversed(losses):
        _allow(loss, loss.site in outputs, state)
    operations = (loss for loss in losses[1:] if "#" not in loss.site)  # one of several results is none
    reasons = ((loss.site, next(_reasons(loss, state), None)) for loss in operations)
    return tuple(KeptFloat32(site, reason) for site, reason in reasons if reason is not None)


def _allow(loss: Loss, is_output: bool, state: _State) -> None:
    """Set what the result of an operation may carry, and whether storing it in float16 is too much."""
    own = loss.signal * state.required
    limits = [own] if is_output else []
    why = ""
    if _overflows(loss):
        why = f"its result reaches {loss.peak:.3g}, and float16 ends at {LARGEST:.0f}"
    elif is_output and loss.rounding > own:
        why = f"rounding its result to float16 leaves {_left(loss, loss.rounding)}"
    for reader, edge in state.readers[loss.site]:
        if edge.error > state.allowed[reader.site]:
            why = why or f"{reader.site} reads it and needs float32"
        if loss.rounding == 0:
            limits.append(own)  # nothing was rounded, so nothing is known about the gain
        elif edge.error > 0:
            limits.append(state.allowed[reader.site] * loss.rounding / edge.error)
    needed = min(limits, default=math.inf)
    state.allowed[loss.site] = min(needed, own) if why else max(needed, own)
    if why:
        state.wide[loss.site] = why


def _reasons(loss: Loss, state: _State) -> Iterator[str]:
    """Why an operation stays in float32, the plainest reason first; nothing if it need not."""
    if _overflows(loss):
        yield state.wide[loss.site]
    for edge in loss.edges:
        source = state.losses.get(edge.source)
        if source is not None and _overflows(source):
            yield f"its input reaches {source.peak:.3g}, and float16 ends at {LARGEST:.0f}"
    causes = [
        ("its variance and epsilon in float16 leave", loss.internal),
        ("its constants in float16 leave", loss.constants),
        *(("its input rounded to float16 leaves", edge.error) for edge in loss.edges),
    ]
    own, allowed = loss.signal * state.required, state.allowed[loss.site]
    for words, noise in causes:
        if noise > max(allowed, own):
            yield f"{words} {_left(loss, noise)}"
    if loss.site in state.wide:
        yield state.wide[loss.site]
    if any(noise > allowed for _, noise in causes):
        yield "its result is wanted more exactly than its rounded inputs give it"


def _overflows(loss: Loss) -> bool:
    return LARGEST < loss.peak < INFINITE


def _left(loss: Loss, noise: float) -> str:
    """How far the noise stays below the operation's result."""
    if loss.signal == 0 or not math.isfinite(noise):
        return "no right digit of its result"
    return f"{sqnr_db(loss.signal, noise):.1f} dB of its result"
