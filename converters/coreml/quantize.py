"""The plan's numbers in an exported program: packed weights, corrected biases, quantize and dequantize."""

from __future__ import annotations

from typing import TYPE_CHECKING

from converters.coreml import weights
from converters.coreml.edits import PRODUCTS, add_constant, call, role_of
from edgevit.core.errors import UnsupportedError
from edgevit.program.sites import named

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

    from edgevit.core.plans import QuantParams, QuantPlan, SitePlan


def quantize(
    program: ExportedProgram, plan: QuantPlan, sites: dict[str, torch.fx.Node], keep_float32: frozenset[str]
) -> None:
    """Edit the program in place.

    Args:
        sites: site -> node of every linear, conv and product of an attention.
        keep_float32: sites that compute in float32 though the plan computes in float16.
    """
    import numpy as np
    import torch

    pairs: dict[tuple[str, QuantParams], torch.fx.Node] = {}
    for number, site in enumerate(plan.sites):
        _check_site(site, sites)
        node = sites[site.site]
        half = plan.compute == "float16" and site.site not in keep_float32
        if site.weight is not None or site.palette is not None:
            weights.place(program, node, site, plan, f"edgevit_weight_{number}", half)
        if f"{site.site}.bias" in plan.tensors:
            _place_bias(program, node, site, plan, f"edgevit_bias_{number}", half)
        for place, params in enumerate((site.input, site.rhs)):
            if params is None:
                continue
            x = node.args[place]
            assert isinstance(x, torch.fx.Node), site.site
            if half:
                scale = np.asarray(params.scale, np.float32)
                weights.check_half(site.site, "scales of activations", scale, scale)
            key = (x.name, params)
            if key not in pairs:
                pairs[key] = _pair(
                    node, x, f"edgevit_{number}_{place}" if place else f"edgevit_{number}", params
                )
            node.args = (*node.args[:place], pairs[key], *node.args[place + 1 :])


def _check_site(site: SitePlan, sites: dict[str, torch.fx.Node]) -> None:
    if site.site not in sites:
        raise UnsupportedError(
            f"the plan names the site {site.site}, which is no linear, conv or product of this graph",
            "make the plan again for this model",
        )
    product = role_of(sites[site.site]) in PRODUCTS
    if product != (site.rhs is not None) or (product and (site.weight or site.palette or not site.input)):
        raise UnsupportedError(
            f"{site.site}: a product of two activations takes a grid for each, any other site one and a weight",
            "make the plan with Core ML's capabilities",
        )
    if site.output is not None or site.bias == "int32" or site.dynamic is not None:
        raise UnsupportedError(
            f"{site.site}: the Core ML target takes float outputs, float biases and static ranges only",
            "make the plan with Core ML's capabilities",
        )


def _place_bias(
    program: ExportedProgram, node: torch.fx.Node, site: SitePlan, plan: QuantPlan, name: str, half: bool
) -> None:
    """The corrected bias in the place of the node's own, or where it has none."""
    import numpy as np
    import torch

    bias = np.asarray(plan.tensors[f"{site.site}.bias"], np.float32)
    channels = node.args[1].meta["val"].shape[0]
    if site.bias != "float32" or bias.shape != (channels,):
        raise UnsupportedError(
            f"{site.site}: Core ML takes one float32 bias per output channel, {channels} here; the plan has "
            f"{bias.shape} and calls it {site.bias}",
            "make the plan with Core ML's capabilities",
        )
    if half:
        weights.check_half(site.site, "biases", bias, np.inf)
    made = add_constant(program, name, torch.from_numpy(bias.copy()))
    node.args = (*node.args[:2], made, *node.args[3:])


def _pair(node: torch.fx.Node, x: torch.fx.Node, name: str, params: QuantParams) -> torch.fx.Node:
    """A quantize and a dequantize right behind `x`, so that all its readers can share them."""
    import torch

    limits = {"int8": (-128, 127, torch.int8), "uint8": (0, 255, torch.uint8)}
    if params.dtype not in limits or len(params.scale) != 1:
        raise UnsupportedError(
            f"{named(node)}: Core ML takes int8 or uint8 activations with one scale per tensor",
            "make the plan with Core ML's capabilities",
        )
    numbers = (params.scale[0], params.zero_point[0], *limits[params.dtype])
    ops = _quantized_ops()
    value, behind = x.meta["val"], x.next
    integer = call(
        behind,
        ops.quantize_per_tensor.default,
        (x, *numbers),
        f"{name}_quantize",
        value.to(limits[params.dtype][2]),
    )
    return call(behind, ops.dequantize_per_tensor.default, (integer, *numbers), f"{name}_dequantize", value)


def _quantized_ops() -> torch._ops._OpNamespace:
    import torch
    import torch.ao.quantization.fx._decomposed  # registers the operators

    return torch.ops.quantized_decomposed
