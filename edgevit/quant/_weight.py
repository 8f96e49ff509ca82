"""A real weight becomes integers on a grid, or indices into palettes, with what is known of its inputs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgevit.core.capabilities import BackendCapabilities, OpCapabilities
from edgevit.core.plans import Part
from edgevit.core.plugins import Clustering, Rounding
from edgevit.core.quant_params import WEIGHT_LIMITS, Palette, QuantParams
from edgevit.quant import _affine

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from edgevit.quant._moments import InputMoments


@dataclass(frozen=True, slots=True)
class Stored:
    """A weight as the plan holds it, and the real values that it stands for.

    Attributes:
        params, palette: one of the two.
        tensors: `weight`, for a palette `lut` too.
        real: float64, of the weight's shape.
    """

    params: QuantParams | None
    palette: Palette | None
    tensors: dict[Part, NDArray[np.generic]]
    real: torch.Tensor


def store(
    weight: torch.Tensor,
    moments: InputMoments | None,
    kind: OpCapabilities,
    capabilities: BackendCapabilities,
    rounding: Rounding,
    clustering: Clustering,
    keep_8bit: bool,
    smallest: torch.Tensor | None,
) -> Stored:
    """Choose the grid or palette and round.

    Args:
        weight: float64 (out channels, ...).
        keep_8bit: the first or the last layer, which takes 8 bits whatever the precision.
        smallest: no output channel's scale may be below it.
    """
    form = _form(weight, kind, keep_8bit)
    importance = None if moments is None else _importance(moments, len(weight))
    if form in ("lut4", "lut6"):
        return _in_palette(weight, importance, moments, int(form[-1]), kind.group, clustering, capabilities)
    dtype: Literal["int4", "int8"] = "int4" if form == "int4" else "int8"
    block = kind.block if dtype == "int4" else None
    scale_dtype = kind.scale_dtype if dtype == "int4" and kind.scale_dtype else capabilities.scale_dtype
    params = _affine.weight_params(weight, dtype, block, importance, scale_dtype, smallest)
    scales = _affine.weight_scales(params, tuple(weight.shape)).double().expand(weight.shape)
    groups = 1 if moments is None else len(moments.hessian)
    inputs = math.prod(weight.shape[1:])
    rows, wide = weight.reshape(groups, -1, inputs), scales.reshape(groups, -1, inputs)
    paired = weight.ndim == 2 or weight.shape[1] > 1  # a depthwise kernel adds no pairs
    limit, pairs = WEIGHT_LIMITS[dtype], kind.saturation_limit if paired else None
    if moments is None and pairs is None:  # each weight alone, without copies of large ones
        steps = rounding.round(rows, wide, None, limit, None).reshape(weight.shape)
    else:
        order = _order_of_sums(weight)
        hessian = None if moments is None else moments.hessian[:, order][:, :, order]
        found = rounding.round(rows[..., order], wide[..., order], hessian, limit, pairs)
        steps = found[..., order.argsort()].reshape(weight.shape)
    return Stored(params, None, {"weight": steps.numpy()}, steps.double() * scales)


def _in_palette(
    weight: torch.Tensor,
    importance: torch.Tensor | None,
    moments: InputMoments | None,
    bits: int,
    group: int,
    clustering: Clustering,
    capabilities: BackendCapabilities,
) -> Stored:
    import torch

    inputs = math.prod(weight.shape[1:])
    rows = weight.reshape(len(weight), inputs)
    counts = torch.ones_like(rows) if importance is None else importance.expand_as(rows)
    lists = torch.stack(
        [
            clustering.fit(part.flatten(), count.flatten(), 2**bits)
            for part, count in zip(rows.split(group), counts.split(group), strict=True)
        ]
    )
    if capabilities.scale_dtype == "float16":
        lists = lists.half().double()
    groups = 1 if moments is None else len(moments.hessian)
    of_row = (torch.arange(len(rows)) // group).reshape(groups, -1)
    indices = clustering.assign(
        rows.reshape(groups, -1, inputs), lists[of_row], None if moments is None else moments.hessian
    ).reshape(len(rows), inputs)
    real = lists[of_row.flatten()].gather(1, indices.long())
    tensors: dict[Part, NDArray[np.generic]] = {
        "weight": indices.reshape(weight.shape).to(torch.uint8).numpy(),
        "lut": lists.float().numpy(),
    }
    return Stored(None, Palette(bits, group), tensors, real.reshape(weight.shape))


def _form(weight: torch.Tensor, kind: OpCapabilities, keep_8bit: bool) -> str:
    """What the weight becomes: 8 bits per channel where few would spoil it or the runtime has no kernel."""
    depthwise = weight.ndim > 2 and weight.shape[1] == 1
    unfit = kind.weight == "int4" and kind.block is not None and weight.shape[1] % kind.block
    return "int8" if keep_8bit or depthwise or unfit else kind.weight


def _importance(moments: InputMoments, channels: int) -> torch.Tensor:
    """How much a squared error of each weight counts: the power of its input, (out channels, inputs)."""
    diagonal = moments.hessian.diagonal(dim1=-2, dim2=-1)
    return diagonal.repeat_interleave(channels // len(diagonal), dim=0).clamp(min=1e-12)


def _order_of_sums(weight: torch.Tensor) -> torch.Tensor:
    """Inputs of a weight in the order in which kernels add: of a convolution, the input channel fastest."""
    import torch

    places = torch.arange(math.prod(weight.shape[1:])).reshape(weight.shape[1:])
    return places.movedim(0, -1).flatten() if weight.ndim > 2 else places
