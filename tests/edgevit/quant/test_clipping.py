"""What planned ranges clip and leave unused, against numpy on the tensors themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.plans import QuantPlan, SitePlan
from edgevit.core.quant_params import QuantParams
from edgevit.core.types import Graph
from edgevit.program.run import run
from edgevit.program.sites import list_sites, site_of
from edgevit.quant.clipping import Quantized, quantized_tensors, range_use
from tests.edgevit.graph import _small as small

PIXELS = QuantParams("uint8", (0.01,), (100,))  # -1.00 to 1.55
TOKENS = QuantParams("int8", (0.02,), (0,))  # -2.56 to 2.54


def plan_with(
    graph: Graph, all_params: dict[str, tuple[QuantParams | None, QuantParams | None]]
) -> QuantPlan:
    kinds = {site.name: site.kind for site in list_sites(graph)}
    sites = tuple(
        SitePlan(name, kinds[name], entry, None, leaving, "float32")
        for name, (entry, leaving) in all_params.items()
    )
    return QuantPlan(
        "test", "w8a8", "float32", "", sites, capabilities=BackendCapabilities("test", "w8a8", "float32", ())
    )


def values(graph: Graph, images: torch.Tensor, tensor: str) -> np.ndarray:
    at = lambda node, value: {"it": value} if site_of(node) == tensor else {}  # noqa: E731
    return run(graph, images, observe=at)[1]["it"].numpy()


def test_inputs_and_outputs_on_static_grids_are_found_once() -> None:
    graph = small.vit_graph()
    plan = plan_with(graph, {"patch:conv": (PIXELS, TOKENS), "head:linear": (None, None)})
    assert quantized_tensors(graph, plan) == {
        ("image", PIXELS): "patch:conv",
        ("patch:conv", TOKENS): "patch:conv",
    }


@pytest.mark.parametrize(
    ("tensor", "params", "limits"), [("image", PIXELS, (0, 255)), ("patch:conv", TOKENS, (-128, 127))]
)
def test_figures_are_those_of_numpy(tensor: str, params: QuantParams, limits: tuple[int, int]) -> None:
    graph, images = small.vit_graph(), 3 * small.images(9)
    wanted: frozenset[Quantized] = frozenset({(tensor, params)})
    found = range_use(graph, wanted, images)[tensor, params]
    real = values(graph, images, tensor).astype(np.float64)
    low, high = ((limit - params.zero_point[0]) * params.scale[0] for limit in limits)
    half = params.scale[0] / 2
    clipped = real.clip(low - half, high + half)
    assert found.clipped == pytest.approx((clipped != real).mean(), abs=1e-4) and found.clipped > 0.01
    assert found.noise == pytest.approx(((real - clipped) ** 2).mean() / (real**2).mean(), rel=1e-3)
    assert found.unused == pytest.approx(0, abs=1e-6)


def test_a_range_ten_times_too_wide_is_nine_tenths_unused() -> None:
    graph, images = small.vit_graph(), small.images(5)
    largest = float(images.abs().max())
    wide = QuantParams("int8", (10 * largest / 127,), (0,))
    found = range_use(graph, frozenset({("image", wide)}), images)["image", wide]
    reached = float(images.max() - images.min()) / wide.scale[0] / 255
    assert (found.clipped, found.noise) == (0, 0)
    assert found.unused == pytest.approx(1 - reached, abs=1e-6) and found.unused > 0.89


def test_each_channel_is_held_against_its_own_scale() -> None:
    graph, images = small.vit_graph(), small.images(5)
    real = values(graph, images, "patch:conv")
    axis = 1 + 1  # behind the axes of images and batch
    largest = np.abs(real).max(axis=tuple(i for i in range(real.ndim) if i != axis))
    exact = QuantParams("int8", tuple(float(v) / 127 for v in largest), (0,) * len(largest), 1)
    halved = QuantParams(
        "int8", tuple(s / (2 if i == 0 else 1) for i, s in enumerate(exact.scale)), exact.zero_point, 1
    )
    found = range_use(graph, frozenset({("patch:conv", exact), ("patch:conv", halved)}), images)
    assert found["patch:conv", exact].clipped == 0
    beyond = (np.abs(real.take(0, axis)) > largest[0] / 2 * (127.5 / 127)).mean() / len(largest)
    assert found["patch:conv", halved].clipped == pytest.approx(beyond, rel=0.2) and beyond > 0
