"""InputMoments of a layer's inputs against the moments of what PyTorch's layer makes of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgevit.program.sites import site_of
from edgevit.quant import _moments
from tests.edgevit.graph import _small as small

LAYERS = {
    "stem": nn.Conv2d(3, 4, 3, 2, 1),
    "dilated": nn.Conv2d(3, 6, 3, 1, 2, dilation=2),
    "grouped": nn.Conv2d(3, 6, (3, 1), 1, (1, 0), groups=3),
    "pointwise": nn.Conv2d(3, 5, 1, 2),
    "same": nn.Conv2d(3, 4, 3, padding="same"),
    "linear": nn.Linear(16, 7),
}


@pytest.mark.parametrize("name", LAYERS)
def test_mean_and_variance_of_the_outputs_follow_from_those_of_the_inputs(name: str) -> None:
    layer = small.randomised(LAYERS[name])
    graph = small.graph_of(layer)
    node = next(n for n in graph.program.graph_module.graph.nodes if n.op == "call_function")
    images = small.images(20)
    other = images + 0.1 * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    weight = layer.get_parameter("weight")
    groups = getattr(layer, "groups", 1)
    found = _moments.measure(node, images.unsqueeze(1), other.unsqueeze(1), weight, groups)
    with torch.no_grad():
        x, y = layer(images).double(), layer(other).double()
    channels = 1 if name != "linear" else -1
    x, y = (v.movedim(channels, 0).flatten(1) for v in (x, y))
    rows = weight.detach().double().reshape(groups, -1, weight[0].numel())
    bias = layer.get_parameter("bias").detach().double()
    means = [(rows * m[:, None]).sum(-1).flatten() + bias for m in (found.mean_float, found.mean)]
    torch.testing.assert_close(means[0], x.mean(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(means[1], y.mean(1), rtol=1e-4, atol=1e-5)
    variance = ((rows @ found.hessian) * rows).sum(-1).flatten()
    torch.testing.assert_close(variance, y.var(1, correction=0), rtol=1e-3, atol=1e-5)
    together = (found.shift * rows).sum(-1).flatten()
    lost = x - y
    centred = (lost - lost.mean(1, keepdim=True)) * (y - y.mean(1, keepdim=True))
    torch.testing.assert_close(together, centred.mean(1), rtol=1e-3, atol=1e-5)


def test_a_large_map_is_sampled() -> None:
    graph = small.graph_of(small.randomised(nn.Conv2d(3, 2, 1)))
    node = next(n for n in graph.program.graph_module.graph.nodes if n.op == "call_function")
    images = torch.randn(4, 1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    found = _moments.measure(node, images, images, torch.ones(2, 3, 1, 1), 1)
    assert found.rows == _moments.ROWS
    torch.testing.assert_close(found.hessian[0], torch.eye(3, dtype=torch.float64), rtol=0.1, atol=0.05)


def test_inputs_that_never_change_have_no_second_moments() -> None:
    """Float32 sums of squares would leave noise there, with which no factorization is possible."""
    graph = small.vit_graph()
    nodes = graph.program.graph_module.graph.nodes
    (node,) = (n for n in nodes if n.op == "call_function" and site_of(n) == "head:linear")
    value = torch.linspace(0.1, 7.3, 8).expand(40, 1, 1, 8)
    found = _moments.measure(node, value, value, torch.ones(4, 8), 1)
    assert float(found.hessian.abs().max()) < 1e-12 and float(found.shift.abs().max()) < 1e-12
    torch.testing.assert_close(found.mean[0].float(), value[0, 0, 0])


def test_products_in_blocks_are_those_of_whole_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_moments, "BLOCK", 5)
    rows = torch.randn(2, 40, 17, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(_moments._gram(rows), rows.transpose(1, 2) @ rows)
