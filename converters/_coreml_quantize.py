"""The plan's integers in an exported program: quantize and dequantize, and int8 weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from converters._coreml_edits import add_constant, call, site_of
from edgevit.core.errors import UnsupportedError

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

    from edgevit.core.types import Grid, QuantPlan, SitePlan


def quantize(program: ExportedProgram, plan: QuantPlan, sites: dict[str, torch.fx.Node]) -> None:
    import torch

    pairs: dict[tuple[str, Grid], torch.fx.Node] = {}
    for number, site in enumerate(plan.sites):
        _check_site(site, sites)
        node = sites[site.site]
        x, _, *rest = node.args
        if site.weight is not None:
            integers = torch.tensor(plan.tensors[f"{site.site}.weight"], dtype=torch.int8)
            new_weight = _weight(program, node, f"edgevit_weight_{number}", integers, site.weight)
            node.args = (x, new_weight, *rest)
        if site.input is not None:
            assert isinstance(x, torch.fx.Node), site.site
            key = (x.name, site.input)
            if key not in pairs:
                pairs[key] = _pair(node, x, f"edgevit_{number}", site.input)
            node.args = (pairs[key], *node.args[1:])


def _check_site(site: SitePlan, sites: dict[str, torch.fx.Node]) -> None:
    if site.site not in sites:
        raise UnsupportedError(
            f"the plan names the site {site.site}, which is no linear or conv of this graph",
            "make the plan again for this model",
        )
    if site.output is not None or site.bias == "int32":
        raise UnsupportedError(
            f"{site.site}: the Core ML target takes float outputs and float biases only",
            "make the plan with Core ML's placement",
        )


def _weight(
    program: ExportedProgram, node: torch.fx.Node, name: str, integers: torch.Tensor, grid: Grid
) -> torch.fx.Node:
    import torch

    if grid.dtype != "int8" or any(grid.zero_point) or grid.axis is None:
        raise UnsupportedError(
            f"{site_of(node)}: Core ML takes int8 weights, symmetric and per channel",
            "make the plan with Core ML's placement",
        )
    stored = add_constant(program, name, integers)
    scale = add_constant(program, f"{name}_scale", torch.tensor(grid.scale, dtype=torch.float32))
    zero = add_constant(program, f"{name}_zero_point", torch.zeros(len(grid.scale), dtype=torch.int8))
    old = node.args[1]
    assert isinstance(old, torch.fx.Node), site_of(node)
    target = _quantized_ops().dequantize_per_channel.default
    args = (stored, scale, zero, grid.axis, -127, 127, torch.int8)
    return call(node, target, args, f"{name}_float", old.meta["val"])


def _pair(node: torch.fx.Node, x: torch.fx.Node, name: str, grid: Grid) -> torch.fx.Node:
    """A quantize and a dequantize right behind `x`, so that all its readers can share them."""
    import torch

    limits = {"int8": (-128, 127, torch.int8), "uint8": (0, 255, torch.uint8)}
    if grid.dtype not in limits or len(grid.scale) != 1:
        raise UnsupportedError(
            f"{site_of(node)}: Core ML takes int8 or uint8 activations with one scale per tensor",
            "make the plan with Core ML's placement",
        )
    numbers = (grid.scale[0], grid.zero_point[0], *limits[grid.dtype])
    ops = _quantized_ops()
    value, behind = x.meta["val"], x.next
    integer = call(
        behind,
        ops.quantize_per_tensor.default,
        (x, *numbers),
        f"{name}_quantize",
        value.to(limits[grid.dtype][2]),
    )
    return call(behind, ops.dequantize_per_tensor.default, (integer, *numbers), f"{name}_dequantize", value)


def _quantized_ops() -> torch._ops._OpNamespace:
    import torch
    import torch.ao.quantization.fx._decomposed  # registers the operators

    return torch.ops.quantized_decomposed
