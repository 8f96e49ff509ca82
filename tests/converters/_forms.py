"""A model with every kind of layer, plans for it made by hand, and what their layers compute, in numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from edgevit.core.plans import QuantPlan, SitePlan
from edgevit.core.quant_params import DynamicQuantization, QuantParams
from edgevit.core.types import Graph
from edgevit.program.sites import list_sites
from edgevit.registries import TARGETS

LINEAR = ("one:linear", "two:linear", "three:linear", "back:linear", "head:linear")
CONV = ("patch:conv", "depthwise:conv")


class Layers(torch.nn.Module):
    """Convolutions and linear layers with and without bias; two linear layers share an input."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = torch.nn.Conv2d(3, 64, 8, 8, bias=False)
        self.depthwise = torch.nn.Conv2d(64, 64, 3, padding=1, groups=64)
        self.one, self.two = torch.nn.Linear(64, 96), torch.nn.Linear(64, 96, bias=False)
        self.three = torch.nn.Linear(96, 96, bias=False)
        self.back, self.head = torch.nn.Linear(96, 64), torch.nn.Linear(64, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        tokens = self.depthwise(self.patch(image)).flatten(2).transpose(1, 2)
        mixed = torch.nn.functional.gelu(self.one(tokens)) * self.two(tokens)
        return self.head((tokens + self.back(self.three(mixed))).mean(1))


def float_weights(graph: Graph) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32] | None]]:
    """Site -> its float weight and bias."""
    stored = {**graph.program.constants, **graph.program.state_dict}
    found = {}
    for site in list_sites(graph):
        if site.weight is not None:
            bias = None if site.bias is None else stored[site.bias].detach().numpy()
            found[site.name] = (stored[site.weight].detach().numpy(), bias)
    return found


def rounded(
    weight: NDArray[np.float32], limit: int, block: int | None, significant: int
) -> tuple[NDArray[np.int8], QuantParams]:
    """A weight to nearest; its scales have so many significant bits."""
    parts = weight.reshape(len(weight), -1)
    parts = parts.reshape(len(weight), -1, block or parts.shape[1])
    fraction, exponent = np.frexp(np.abs(parts).max(-1, keepdims=True) / limit)
    scale = np.ldexp(np.ceil(fraction * 2**significant), exponent - significant).astype(np.float32)
    steps = np.rint(parts / scale).astype(np.int8).reshape(weight.shape)
    dtype = "int4" if limit == 7 else "int8"
    return steps, QuantParams(dtype, tuple(map(float, scale.ravel())), (0,) * scale.size, 0, block)


def plan(
    graph: Graph,
    target: str,
    precision: str,
    linear: Mapping[str, object],
    limit: int = 127,
    block: int | None = None,
    significant: int = 24,
    new_bias: bool = True,
) -> QuantPlan:
    """Weights to nearest; `linear` holds further fields of the linear layers' plans.

    Args:
        limit, block, significant: of the linear layers' weights; convolutions are int8 per channel.
        new_bias: every layer gets a bias that is not its own.
    """
    random = np.random.default_rng(0)
    sites, tensors = [], {}
    for name, (weight, bias) in float_weights(graph).items():
        is_linear = name.endswith(":linear")
        form = (limit, block, significant) if is_linear else (127, None, 24)
        steps, params = rounded(weight, *form)
        planned = SitePlan(name, "linear" if is_linear else "conv", None, params, None, "none")
        if new_bias:
            tensors[f"{name}.bias"] = random.standard_normal(len(weight)).astype(np.float32)
        planned = replace(planned, bias="float32" if new_bias or bias is not None else "none")
        sites.append(replace(planned, **linear) if is_linear else planned)
        tensors[f"{name}.weight"] = steps
    capabilities = TARGETS.get(target).capabilities(precision)
    assert capabilities is not None
    return QuantPlan(
        target, precision, "float32", "0" * 64, tuple(sites), (), tensors, capabilities=capabilities
    )


def real_weight(made: QuantPlan, site: SitePlan) -> NDArray[np.float64]:
    """What a planned weight stands for."""
    assert site.weight is not None
    steps = made.tensors[f"{site.site}.weight"]
    scale = np.asarray(site.weight.scale, np.float64)
    parts = steps.reshape(len(scale), -1) * scale[:, None]
    return parts.reshape(steps.shape)


def with_weights(plan: QuantPlan, graph: Graph) -> torch.nn.Module:
    """PyTorch's own layers with the plan's weights in them, and its biases or the graph's own."""
    own = float_weights(graph)
    made = Layers()
    for site in plan.sites:
        layer = made.get_submodule(site.site.partition(":")[0])
        layer.weight = torch.nn.Parameter(torch.from_numpy(real_weight(plan, site)).float())
        bias = plan.tensors.get(f"{site.site}.bias", own[site.site][1])
        layer.bias = None if bias is None else torch.nn.Parameter(torch.tensor(bias))
    return made.eval()


def computed(
    made: QuantPlan,
    site: SitePlan,
    entered: NDArray[np.float32],
    at_run_time: Callable[[NDArray[np.float32]], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """The layer's result for (tokens, channels) or (channels, height, width)."""
    weight = real_weight(made, site)
    bias = made.tensors.get(f"{site.site}.bias", np.zeros(len(weight))).astype(np.float64)
    if site.kind == "linear":
        value = entered.astype(np.float64) if site.dynamic is None else at_run_time(entered)
        return value @ weight.T + bias
    stride, padding, groups = (8, 0, 1) if site.site == "patch:conv" else (1, 1, 64)
    arguments = (torch.from_numpy(a) for a in (entered.astype(np.float64), weight, bias))
    return torch.nn.functional.conv2d(*arguments, stride, padding, groups=groups).numpy()


def uint8_per_tensor(value: NDArray[np.float32]) -> NDArray[np.float64]:
    """DynamicQuantizeLinear as ONNX defines it."""
    low, high = min(value.min(), 0), max(value.max(), 0)
    scale = np.float32(high - low) / np.float32(255)
    zero = np.clip(np.rint(-low / scale), 0, 255)
    return (np.clip(np.rint(value / scale) + zero, 0, 255) - zero).astype(np.float64) * scale


def uint8_per_token(value: NDArray[np.float32]) -> NDArray[np.float64]:
    """Tokens divided by their largest magnitude, then one grid for all."""
    largest = np.maximum(np.abs(value).max(-1, keepdims=True), np.finfo(np.float32).tiny)
    return uint8_per_tensor(value / largest) * largest


def int8_per_token(value: NDArray[np.float32]) -> NDArray[np.float64]:
    """The asymmetric int8 grid of each token."""
    low = np.minimum(value.min(-1, keepdims=True), 0)
    high = np.maximum(value.max(-1, keepdims=True), 0)
    scale = (high - low) / np.float32(255)
    zero = np.clip(np.rint(-128 - low / scale), -128, 127)
    steps = np.clip(np.rint(value / scale) + zero, -128, 127) - zero
    return steps.astype(np.float64) * scale


UINT8_PER_TOKEN = DynamicQuantization("uint8", "tensor", symmetric=False, normalized=True)
INT8_PER_TOKEN = DynamicQuantization("int8", "token", symmetric=False)
