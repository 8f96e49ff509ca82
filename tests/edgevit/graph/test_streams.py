"""Residual streams without a mean: what is subtracted, that nothing else changes, and which streams are left alone."""

from __future__ import annotations

import pytest
import torch

from edgevit.core.types import Graph, Stats
from edgevit.graph import streams
from edgevit.graph.adapt import adapt
from edgevit.graph.rewrites import expand_norms, fold_layer_scale, layernorm_to_rmsnorm, remove_aliases
from edgevit.program.run import run
from edgevit.program.sites import list_sites, site_of
from edgevit.quant.algorithms import layernorm_to_rmsnorm as fold
from tests.edgevit.graph import _small as small
from tests.edgevit.graph._residual import Extra, Residual


def _graph(module: Residual) -> Graph:
    graph = small.graph_of(small.randomised(module), remove_aliases=remove_aliases.REWRITE)
    fold_layer_scale.apply(graph.program)
    return graph


def _values(graph: Graph) -> dict[str, torch.Tensor]:
    return run(graph, small.images(), observe=lambda node, value: {site_of(node): value})[1]


@pytest.mark.parametrize("head", ["token", "mean"])
def test_all_that_goes_into_a_stream_loses_its_mean_and_the_output_stays(head: str) -> None:
    graph = _graph(Residual(head))
    before, old = _values(graph), {k: v.clone() for k, v in graph.program.state_dict.items()}
    assert streams.centre(graph.program) == tuple(f"norms.{i}:layer_norm" for i in range(3))
    after, new = _values(graph), graph.program.state_dict
    for name in ("patch.weight", "patch.bias", "branches.0.weight", "branches.0.bias", "branches.1.weight"):
        torch.testing.assert_close(new[name], old[name] - old[name].mean(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(new["position"], old["position"] - old["position"].mean(-1, keepdim=True))
    assert all(torch.equal(new[name], old[name]) for name in ("last.weight", "last.bias", "norms.0.weight"))
    read = [site.source for site in list_sites(graph) if site.kind == "layer_norm"]
    for name in read:
        assert before[name].mean(-1).abs().max() > 0.05 and after[name].mean(-1).abs().max() < 1e-5
    assert small.db(before["last:linear"], after["last:linear"]) > 110
    assert streams.centre(graph.program) == ()  # there is nothing left to subtract


def _read_by_linear(m: Residual, x: torch.Tensor) -> torch.Tensor:
    return m.other(x).mean(1)


LEFT: dict[str, dict[str, Extra]] = {
    "a linear layer reads it": {"extra": _read_by_linear},
    "it is an output": {"extra": lambda m, x: x[:, 0, :4]},
    "a nonlinearity writes into it": {"write": lambda m, x: m.branches[0](x[:, :1]).relu()},
    "a norm writes into it": {"write": lambda m, x: m.norms[2](x)},
    "one number for all channels": {"write": lambda m, x: m.position[:, :, :1]},
    "one number for everything": {"write": lambda m, x: torch.ones_like(x) * 2},
    "a layer with groups": {"write": lambda m, x: m.grouped(m.norms[2](x).transpose(1, 2)).transpose(1, 2)},
    "a weight that somebody else reads": {"write": lambda m, x: m.branches[1](m.norms[2](x)).tanh()},
    "channels in another order": {"write": lambda m, x: x.reshape(1, 12, 5).transpose(1, 2)},
}


@pytest.mark.parametrize("why", LEFT)
def test_a_stream_is_left_alone_where_its_mean_matters(why: str) -> None:
    graph = _graph(Residual(**LEFT[why]))
    old = {k: v.clone() for k, v in graph.program.state_dict.items()}
    assert streams.centre(graph.program) == ()
    assert all(torch.equal(v, old[k]) for k, v in graph.program.state_dict.items())


def test_tflites_norms_of_a_centred_stream_subtract_no_mean() -> None:
    module = small.randomised(Residual())
    offered = {
        "centre": layernorm_to_rmsnorm.REWRITE,
        "scale": fold_layer_scale.REWRITE,
        "expand": expand_norms.REWRITE,
    }
    means = {}
    for planned in (False, True):
        graph = small.graph_of(module, remove_aliases=remove_aliases.REWRITE)
        graph = adapt(graph, offered, "tflite", planned)
        means[planned] = sum(site.kind == "mean" for site in list_sites(graph))
        assert (
            small.db(torch.cat([module(i[None]) for i in small.images()]), run(graph, small.images())[0][0])
            > 100
        )
    assert means == {False: 3, True: 6}


def test_the_fold_takes_gains_in_front_of_a_stream_into_the_layers() -> None:
    module = small.randomised(Residual())
    graph = small.graph_of(module, remove_aliases=remove_aliases.REWRITE)
    before = run(graph, small.images())[0][0]
    assert streams.centre(graph.program) == ()  # the gain of the first branch is in between
    assert fold.apply(graph, Stats({}, 0)) == (":mul", *(f"norms.{i}:layer_norm" for i in range(3)))
    assert small.db(before, run(graph, small.images())[0][0]) > 110
    assert fold.apply(graph, Stats({}, 0))[0] == "norms.0:layer_norm"  # it has no mean, whoever took it out
