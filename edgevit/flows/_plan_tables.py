"""A plan as tables for people: what the runtime can do, every site with its grids, and what stays in float."""

from __future__ import annotations

from edgevit.core.capabilities import OpCapabilities
from edgevit.core.plans import QuantPlan, SitePlan
from edgevit.core.precisions import Variant
from edgevit.core.quant_params import DynamicQuantization, QuantParams
from edgevit.core.results.answer import Table
from edgevit.steps.messages import Prepared, SimulatedPlan

_FLOAT = "float"


def tables(plan: QuantPlan, prepared: Prepared) -> tuple[Table, ...]:
    """BackendCapabilities, sites, and what is skipped; tables without rows are left out."""
    name = f"{plan.target} {plan.precision}"
    found = (
        Table(
            f"{name}: what the runtime does, all else in {plan.compute}",
            ("kind", "input", "weight", "output", "bias"),
            tuple(_kind(kind) for kind in plan.capabilities.kinds),
        ),
        _sites(name, plan, prepared),
        Table(f"{name}: what stays in float", ("site", "reason"), plan.skipped),
    )
    return tuple(table for table in found if table.rows)


def simulated_of(plan: QuantPlan, prepared: Prepared) -> SimulatedPlan:
    """What the simulation of a plan gave."""
    wanted = Variant(plan.target, plan.precision)
    return next(s for s in prepared.simulated if s.variant == wanted)


def _sites(name: str, plan: QuantPlan, prepared: Prepared) -> Table:
    simulated = simulated_of(plan, prepared)
    alone = {loss.site: loss for loss in simulated.sensitivity}
    title = (
        f"{name}: {simulated.compression.sqnr_db:.1f} dB simulated on {prepared.fidelity_images} images, "
        f"{len(plan.sites)} sites; `alone dB` is the output's SQNR with that site alone quantized, estimated"
    )
    rows = tuple(
        (
            site.site,
            described(site.input, site.dynamic),
            *(() if not _products(plan) else (described(site.rhs, None),)),
            weight_form(site),
            described(site.output, None) + ("" if site.sigmoid is None else ", then SiLU in integers"),
            site.bias,
            f"{alone[site.site].sqnr_db:.1f}",
            f"{alone[site.site].macs / 1e6:.3g}",
        )
        for site in plan.sites
    )
    rhs = ("rhs",) if _products(plan) else ()
    columns = ("site", "input", *rhs, "weight", "output", "bias", "alone dB", "million MACs")
    return Table(title, columns, rows)


def _products(plan: QuantPlan) -> bool:
    return any(site.rhs is not None for site in plan.sites)


def described(params: QuantParams | None, dynamic: DynamicQuantization | None) -> str:
    """The grid of an activation in words: type, scale and zero point."""
    if dynamic is not None:
        return _at_run_time(dynamic)
    if params is None:
        return _FLOAT
    low, high = min(params.scale), max(params.scale)
    if params.axis is not None:
        return f"{params.dtype} per channel, {low:.4g} to {high:.4g}"
    return f"{params.dtype} {low:.4g}, zero {params.zero_point[0]}"


def _at_run_time(how: DynamicQuantization) -> str:
    per = f"block of {how.block}" if how.per == "block" else how.per
    scaled = " of tokens scaled to 1" if how.normalized else ""
    return f"{how.dtype} per {per}{scaled}, at run time"


def weight_form(site: SitePlan) -> str:
    """How a weight is stored, in words."""
    if site.palette is not None:
        return f"{2**site.palette.bits} values for {site.palette.group} channels"
    params = site.weight
    if params is None:
        return "none" if site.rhs is not None else _FLOAT
    return f"{params.dtype} " + ("per channel" if params.block is None else f"in blocks of {params.block}")


def _kind(kind: OpCapabilities) -> tuple[str, ...]:
    entering = _at_run_time(kind.dynamic) if kind.dynamic else kind.input
    weight = kind.weight
    if weight == "int4" and kind.block is not None:
        weight_text = f"int4 in blocks of {kind.block}, int8 at the ends and where blocks do not fit"
    elif weight.startswith("lut"):
        weight_text = f"{2 ** int(weight[3:])} values for {kind.group} channels, int8 at the ends"
    else:
        weight_text = weight
    if kind.saturation_limit is not None:
        weight_text += f", neighbours up to {kind.saturation_limit}"
    leaving = kind.output or _FLOAT
    if kind.sigmoid is not None:
        leaving += ", SiLU between integers too"
    if kind.output_channels:
        leaving += ", per channel where it pays"
    entering = entering or _FLOAT
    if kind.fallback is not None:
        entering += f", {_at_run_time(kind.fallback)} where it costs most"
    return (kind.kind, entering, weight_text, leaving, kind.bias)
