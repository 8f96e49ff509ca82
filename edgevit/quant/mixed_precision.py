"""Mixed precision: the few sites that keep float activations, within a budget of float multiply-accumulates.

Rounding activations costs a model's output most at a few sites, and some of these compute little. They fall back to
float, or to dynamic quantization where the runtime has it. With c_i the cost of a site, the first-order estimate of
`output_sensitivity`, and m_i its multiply-accumulates:

    maximise  sum of c_i over the sites in float     so that  sum of m_i <= float_macs * (MACs of the model)

which is a knapsack, filled greedily by c_i / m_i, the largest first:

1. Sites that read one tensor go together: it is rounded as long as one of them is an integer site.
2. A tensor that an integer site makes and another one reads is rounded for either and counts for none.
3. A group that costs less than 3 % of everything stays in integers: it is not worth a change of type.
4. A group that no longer fits the budget is passed over; a smaller one behind it may still fit.
5. Sites with less arithmetic per value than their kind's `min_intensity` stay in integers: alone between integers
   they are slower in float.

HAWQ-V2 (Dong et al. 2020, https://arxiv.org/abs/1911.03852) makes the same trade with the Hessian of a loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from edgevit.core.capabilities import OpCapabilities
from edgevit.core.types import Stats
from edgevit.program.sites import Site

# What a site (or all that read one tensor) costs of everything that rounding activations costs.
WORTH: Final = 0.03
REASON: Final = (
    "rounding its activations is {cost:.0f} % of what rounding all activations costs the output, "
    "for {macs:.2g} % of the multiply-accumulates"
)


def with_fallback(kind: OpCapabilities) -> OpCapabilities:
    """What a kind of site does that falls back to dynamic quantization, where its runtime has that."""
    return replace(
        kind,
        input=None,
        output=None,
        bias="float32",
        dynamic=kind.fallback,
        output_channels=False,
        fallback=None,
    )


def choose_fallback(
    sites: Sequence[Site],
    kinds: Mapping[str, OpCapabilities],
    stats: Stats,
    total_macs: int,
    share: float,
) -> dict[str, str]:
    """Site -> the reason why it falls back: the most costly ones for their size, within `share`.

    A tensor that an integer site makes and another reads is rounded for either of them and counts for none. Sites
    below their kind's `min_intensity` stay integer: alone between integers they are slower in float.

    Args:
        sites: that would become integer.
        stats: with ("range_sensitivity") for the tensors that they round; without one nothing falls back.
        total_macs: of the model.
        share: of them that may stay in float.
    """
    groups: dict[str, list[Site]] = {}
    for site in sites:
        groups.setdefault(site.source, []).append(site)
    makers = {site.name for site in sites if kinds[site.kind].output is not None}

    def cost_of(tensor: str) -> float:
        sensitivities = stats.values.get((tensor, "range_sensitivity"))
        if sensitivities is None or (tensor in makers and tensor in groups):
            return 0.0
        channels = stats.values.get((tensor, "channel_sensitivity"))
        return float(min(sensitivities.min(), sensitivities.min() if channels is None else channels.min()))

    costs = {
        source: (cost_of(source) if kinds[members[0].kind].input is not None else 0.0)
        + sum(cost_of(member.name) for member in members if member.name in makers)
        + sum(cost_of(member.rhs) for member in members if member.rhs is not None)
        for source, members in groups.items()
    }
    macs = {source: sum(member.macs for member in members) for source, members in groups.items()}
    everything = sum(costs.values())
    left = share * total_macs
    found: dict[str, str] = {}
    for source in sorted(groups, key=lambda s: (-costs[s] / max(macs[s], 1), s)):
        if costs[source] <= WORTH * everything or macs[source] > left:
            continue
        if any(member.macs < kinds[member.kind].min_intensity * member.values for member in groups[source]):
            continue
        left -= macs[source]
        reason = REASON.format(cost=100 * costs[source] / everything, macs=100 * macs[source] / total_macs)
        found |= {member.name: reason for member in groups[source]}
    return found
