"""The plan's numbers in an exported program: packed weights, corrected biases, quantize and dequantize."""

from __future__ import annotations

from typing import TYPE_CHECKING

from converters.coreml import weights
from converters.coreml.edits import add_constant, call
from edgevit.core.errors import UnsupportedError
from edgevit.core.quant_params import LIMITS

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

    from edgevit.core.plans import QuantPlan, SitePlan
    from edgevit.core.quant_params import QuantParams


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
        if plan.bias(site.site) is not None:
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
                pairs[key] = _pair(x, f"edgevit_{number}_{place}" if place else f"edgevit_{number}", params)
            node.args = (*node.args[:place], pairs[key], *node.args[place + 1 :])


def _check_site(site: SitePlan, sites: dict[str, torch.fx.Node]) -> None:
    if site.site not in sites:
        raise UnsupportedError(
            f"the plan names the site {site.site}, which is no linear, conv or product of this graph",
            "make the plan again for this model",
        )


def _place_bias(
    program: ExportedProgram, node: torch.fx.Node, site: SitePlan, plan: QuantPlan, name: str, half: bool
) -> None:
    """The corrected bias in the place of the node's own, or where it has none."""
    import numpy as np
    import torch

    bias = np.asarray(plan.bias(site.site), np.float32)
    if half:
        weights.check_half(site.site, "biases", bias, np.inf)
    made = add_constant(program, name, torch.from_numpy(bias.copy()))
    node.args = (*node.args[:2], made, *node.args[3:])


def _pair(x: torch.fx.Node, name: str, params: QuantParams) -> torch.fx.Node:
    """A quantize and a dequantize right behind `x`, so that all its readers can share them."""
    import torch

    dtype = {"int8": torch.int8, "uint8": torch.uint8}[params.dtype]
    numbers = (params.scale[0], params.zero_point[0], *LIMITS[params.dtype], dtype)
    ops = _quantized_ops()
    value, behind = x.meta["val"], x.next
    integer = call(
        behind,
        ops.quantize_per_tensor.default,
        (x, *numbers),
        f"{name}_quantize",
        value.to(dtype),
    )
    return call(behind, ops.dequantize_per_tensor.default, (integer, *numbers), f"{name}_dequantize", value)


def _quantized_ops() -> torch._ops._OpNamespace:
    import torch
    import torch.ao.quantization.fx._decomposed  # registers the operators

    return torch.ops.quantized_decomposed
