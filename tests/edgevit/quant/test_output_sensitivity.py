"""The estimate of what an error costs, against the error put into the model."""

from __future__ import annotations

import pytest
import torch

from edgevit.program.run import run
from edgevit.program.sites import site_of
from edgevit.quant import output_sensitivity
from tests.edgevit.graph import _small as small

TENSORS = ("patch:conv", "norm1.0:layer_norm", "mlp.0.1:gelu", "attn.1.qkv:linear")


def test_estimates_are_what_small_errors_cost() -> None:
    graph, images = small.vit_graph(), small.images(64)
    generator = torch.Generator().manual_seed(0)
    patterns = {
        name: [size * torch.randn(shape, generator=generator) for size in (1e-3, 3e-3)]
        for name, shape in _shapes(graph, images).items()
    }
    errors = {
        name: lambda value, made, found=found: iter([f.expand_as(value) for f in found])
        for name, found in patterns.items()
    }
    estimated = output_sensitivity.output_errors(graph, images, errors, seed=0)
    wanted = run(graph, images)[0][0].double()
    for name, found in patterns.items():
        for pattern, estimate in zip(found, estimated[name], strict=True):

            def around(node, operation, args, kwargs, name=name, pattern=pattern):  # type: ignore[no-untyped-def]
                result = operation(*args, **kwargs)
                return result + pattern if site_of(node) == name else result

            got = run(graph, images, around=around)[0][0].double()
            signal = wanted.square().sum(1)
            cost = ((got - wanted).square().sum(1) / signal).mean()
            assert float(estimate) == pytest.approx(float(cost), rel=0.35), name


def _shapes(graph, images) -> dict[str, tuple[int, ...]]:  # type: ignore[no-untyped-def]
    nodes = graph.program.graph_module.graph.nodes
    return {
        site_of(n): tuple(n.meta["val"].shape)
        for n in nodes
        if n.op == "call_function" and n.meta.get("custom") and site_of(n) in TENSORS
    }


def test_a_tensor_that_the_output_does_not_depend_on_costs_nothing() -> None:
    graph, images = small.vit_graph(), small.images(4)
    errors = {"head:linear": lambda value, made: iter([torch.zeros_like(value), torch.ones_like(value)])}
    none, some = output_sensitivity.output_errors(graph, images, errors, seed=0)["head:linear"]
    assert none == 0 and some > 0
