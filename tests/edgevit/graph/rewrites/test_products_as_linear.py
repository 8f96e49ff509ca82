"""Products with a constant matrix are linear layers; einsum is a product."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from edgevit.graph.rewrites import products_as_linear, remove_aliases, simplify_permutes
from edgevit.program.sites import list_sites, total_macs
from tests.edgevit.graph.rewrites import _rewritten as r

REWRITES = (remove_aliases.REWRITE, products_as_linear.REWRITE, simplify_permutes.REWRITE)
Forward = Callable[[r.Lines, torch.Tensor], torch.Tensor]


@pytest.mark.parametrize(
    ("forward", "macs"),
    [
        (lambda self, x: x @ self.w, 48 * 16 * 5),
        (lambda self, x: torch.addmm(self.b, x[0, 0], self.w)[None], 16 * 16 * 5),
        (lambda self, x: torch.einsum("bchw,wo->bcho", x, self.w), 48 * 16 * 5),
        (lambda self, x: torch.einsum("ho,bchw->bcow", self.w, x), 48 * 16 * 5),
    ],
)
def test_a_product_with_a_constant_is_a_site_with_a_weight(forward: Forward, macs: int) -> None:
    module = r.Lines(forward, w=torch.randn(16, 5), b=torch.randn(5))
    graph = r.rewritten(module, *REWRITES)
    (site,) = [s for s in list_sites(graph) if s.kind == "linear"]
    assert site.weight is not None and site.macs == total_macs(graph) == macs
    assert r.difference(graph, module) > 120


@pytest.mark.parametrize(
    "equation", ["bhid,bhjd->bhij", "bhij,bhjd->bihd", "bcij,bcij->bc", "bihd,bihe->bdhe", "bhid,bkid->bhk"]
)
def test_einsum_of_two_tensors_is_one_product(equation: str) -> None:
    module = r.Lines(lambda _, x: torch.einsum(equation, x, x + 1))
    graph = r.rewritten(module, *REWRITES)
    assert r.kinds(graph)["matmul"] == 1 and not r.kinds(graph)["einsum"]
    assert r.difference(graph, module) > 120


@pytest.mark.parametrize("equation", ["bchw->bwhc", "bchw,bchw,bchw->bc", "bhii,bhij->bhj", "...h,...h->..."])
def test_other_einsums_stay(equation: str) -> None:
    module = r.Lines(lambda _, x: torch.einsum(equation, *[x] * equation.partition("->")[0].count(","), x))
    graph = r.rewritten(module, *REWRITES)
    assert r.kinds(graph)["einsum"] == 1
    assert r.difference(graph, module) > 120
