"""A plan that comes back: what may be edited, and one clear error for what may not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from edgevit.core.capabilities import BackendCapabilities, OpCapabilities
from edgevit.core.errors import InputError
from edgevit.core.plans import QuantPlan
from edgevit.core.quant_params import DynamicQuantization, QuantParams
from edgevit.core.types import Stats
from edgevit.quant.check import check_plan, find_given
from edgevit.quant.plan import make_plan
from tests.edgevit.graph import _small as small
from tests.edgevit.quant.test_plan import CHOICES, measured

STATIC = BackendCapabilities(
    "test",
    "w8a8",
    "float32",
    (
        OpCapabilities("linear", "uint8", "int8", "float32", output_channels=True),
        OpCapabilities("conv", "uint8", "uint8", "int32"),
    ),
)
FOUR = BackendCapabilities(
    "test",
    "w4",
    "float16",
    (OpCapabilities("linear", None, None, "float32", "int4", 8, scale_dtype="float16"),),
    "float16",
)
LUT = BackendCapabilities(
    "test", "lut4", "float32", (OpCapabilities("linear", None, None, "float32", "lut4", group=4),)
)
SAFE = BackendCapabilities("test", "w8a8", "float32", (OpCapabilities("linear", "uint8", None, "float32"),))
FC = "mlp.0.0:linear"


@cache
def plan_of(capabilities: BackendCapabilities) -> QuantPlan:
    graph = small.vit_graph()
    static = any(kind.input for kind in capabilities.kinds)
    stats = measured(graph, small.images(20)) if static else Stats({}, 0)
    return make_plan(graph, stats, None, capabilities, CHOICES)


def with_site(plan: QuantPlan, name: str = FC, **changes: Any) -> QuantPlan:
    return replace(plan, sites=tuple(replace(s, **changes) if s.site == name else s for s in plan.sites))


def with_grid(plan: QuantPlan, which: str, name: str = FC, **changes: Any) -> QuantPlan:
    (site,) = (s for s in plan.sites if s.site == name)
    return with_site(plan, name, **{which: replace(getattr(site, which), **changes)})


def with_tensor(plan: QuantPlan, name: str, array: np.ndarray[Any, Any] | None) -> QuantPlan:
    tensors = {k: v for k, v in plan.tensors.items() if k != name}
    return replace(plan, tensors=tensors if array is None else {**tensors, name: array})


@pytest.mark.parametrize("capabilities", [STATIC, FOUR, LUT, SAFE], ids=lambda p: p.precision)
def test_a_plan_that_nobody_edited_comes_back_as_it_was(capabilities: BackendCapabilities) -> None:
    plan = plan_of(capabilities)
    again = check_plan(plan, small.vit_graph(), capabilities)
    assert again == plan and again.tensors.keys() == plan.tensors.keys()


@pytest.mark.parametrize("folds", [("nonsense",), ("smooth_activations",)])
def test_folds_that_the_graph_has_not_are_refused(folds: tuple[str, ...]) -> None:
    """They were made before the plan: another list would change what the file computes and not its weights."""
    edited = replace(plan_of(STATIC), capabilities=replace(STATIC, folds=folds))
    with pytest.raises(InputError, match=f"names the folds {folds[0]}, its graph has none") as caught:
        check_plan(edited, small.vit_graph(), STATIC)
    assert "--without" in caught.value.hint


def test_a_site_taken_out_is_float_with_a_reason_and_its_tensors_go() -> None:
    plan = plan_of(STATIC)
    edited = replace(plan, sites=tuple(s for s in reversed(plan.sites) if s.site != FC))
    again = check_plan(edited, small.vit_graph(), STATIC)
    assert [s.site for s in again.sites] == [s.site for s in plan.sites if s.site != FC]
    assert dict(again.skipped)[FC] == "the plan that was given leaves it out"
    assert set(plan.skipped) < set(again.skipped)
    assert not any(name.startswith(FC) for name in again.tensors)


def test_tokens_may_be_left_as_they_are_and_nothing_else_may_change_at_run_time() -> None:
    scaled = DynamicQuantization("uint8", "tensor", symmetric=False, normalized=True)
    kind = OpCapabilities("linear", None, None, "float32", dynamic=scaled)
    capabilities = BackendCapabilities("test", "w8da8", "float32", (kind,))
    plain = with_site(plan_of(capabilities), dynamic=replace(scaled, normalized=False))
    assert check_plan(plain, small.vit_graph(), capabilities) == plain
    for other in (None, replace(scaled, dtype="int8"), replace(scaled, normalized=False, symmetric=True)):
        with pytest.raises(InputError, match="at run time"):
            check_plan(with_site(plain, dynamic=other), small.vit_graph(), capabilities)


def test_scales_may_be_changed() -> None:
    edited = with_grid(plan_of(STATIC), "input", scale=(0.0123,))
    assert check_plan(edited, small.vit_graph(), STATIC) == edited != plan_of(STATIC)


Edit = Callable[[QuantPlan], QuantPlan]
BROKEN: dict[str, tuple[BackendCapabilities, Edit, str]] = {
    "other model": (STATIC, lambda p: replace(p, graph_sha256="00" * 32), "other weights"),
    "other compute": (STATIC, lambda p: replace(p, compute="float16"), "computes in float32"),
    "unknown site": (STATIC, lambda p: with_site(p, site="mlp.0.00:linear"), "no such site"),
    "site twice": (
        STATIC,
        lambda p: replace(p, sites=(*p.sites, p.sites[0])),
        "patch:conv stands in it twice",
    ),
    "wrong kind": (STATIC, lambda p: with_site(p, kind="conv"), "kind is linear"),
    "cannot be integer": (
        STATIC,
        lambda p: replace(p, sites=(*p.sites, replace(p.sites[1], site="attn.0:qk", kind="qk"))),
        "qk is computed in float32",
    ),
    "nothing to quantize": (
        STATIC,
        lambda p: replace(
            p, sites=(*p.sites, replace(p.sites[1], site="norm1.0:layer_norm", kind="layer_norm"))
        ),
        "nothing to quantize",
    ),
    "zero scale": (STATIC, lambda p: with_grid(p, "input", scale=(0.0,)), "scale 0"),
    "negative scale": (STATIC, lambda p: with_grid(p, "output", scale=(-1.0,)), "scale -1"),
    "infinite scale": (STATIC, lambda p: with_grid(p, "input", scale=(float("inf"),)), "scale inf"),
    "nan scale": (STATIC, lambda p: with_grid(p, "input", scale=(float("nan"),)), "scale nan"),
    "tiny scale": (STATIC, lambda p: with_grid(p, "input", scale=(1e-60,)), "float32 cannot hold"),
    "half scale": (FOUR, lambda p: with_grid(p, "weight", scale=(0.1,) * 16), "float16 cannot hold"),
    "zero point": (
        STATIC,
        lambda p: with_grid(p, "input", zero_point=(256,)),
        "zero point 256, outside uint8",
    ),
    "weight zero point": (
        STATIC,
        lambda p: with_grid(p, "weight", zero_point=(1,) * 16),
        "weights take the zero point 0",
    ),
    "two input scales": (STATIC, lambda p: with_grid(p, "input", scale=(0.1, 0.1)), "2 scales, 1 are needed"),
    "few weight scales": (STATIC, lambda p: with_grid(p, "weight", scale=(0.1,)), "1 scales, 16 are needed"),
    "few zero points": (STATIC, lambda p: with_grid(p, "weight", zero_point=(0,)), "1 zero points, 16"),
    "few block scales": (FOUR, lambda p: with_grid(p, "weight", scale=(0.5,)), "1 scales, 16 are needed"),
    "other blocks": (FOUR, lambda p: with_grid(p, "weight", block=4), "one for each 8 inputs"),
    "weight axis": (STATIC, lambda p: with_grid(p, "weight", axis=1), "along axis 0"),
    "input type": (STATIC, lambda p: with_grid(p, "input", dtype="int8"), "its input is int8"),
    "float input": (STATIC, lambda p: with_site(p, input=None), "its input is float"),
    "integer output": (
        SAFE,
        lambda p: with_site(p, output=QuantParams("int8", (0.1,), (0,))),
        "its output is int8, test w8a8 takes float",
    ),
    "input per channel": (
        STATIC,
        lambda p: with_grid(p, "input", scale=(0.1,) * 8, zero_point=(0,) * 8, axis=2),
        "takes one for the tensor",
    ),
    "asymmetric output channels": (
        STATIC,
        lambda p: with_grid(p, "output", scale=(0.1,) * 16, zero_point=(3,) * 16, axis=2),
        "zero points 0",
    ),
    "dynamic": (
        STATIC,
        lambda p: with_site(p, dynamic=DynamicQuantization("int8", "token", True)),
        "at run time",
    ),
    "int4 in w8a8": (STATIC, lambda p: with_grid(p, "weight", dtype="int4"), "takes int8"),
    "no weight": (STATIC, lambda p: with_site(p, weight=None), "quantization parameters or a palette"),
    "bias": (STATIC, lambda p: with_site(p, bias="none"), "bias is none, float32 is needed"),
    "lost weight": (STATIC, lambda p: with_tensor(p, f"{FC}.weight", None), "is missing"),
    "weight shape": (
        STATIC,
        lambda p: with_tensor(p, f"{FC}.weight", np.zeros((8, 16), np.int8)),
        "int8 (8, 16), it must be int8 (16, 8)",
    ),
    "weight type": (
        STATIC,
        lambda p: with_tensor(p, f"{FC}.weight", np.zeros((16, 8), np.float32)),
        "float32 (16, 8), it must be int8",
    ),
    "weight range": (
        STATIC,
        lambda p: with_tensor(p, f"{FC}.weight", np.full((16, 8), -128, np.int8)),
        "reaches 128",
    ),
    "int4 range": (FOUR, lambda p: with_tensor(p, f"{FC}.weight", np.full((16, 8), 8, np.int8)), "reaches 8"),
    "lost int32 bias": (STATIC, lambda p: with_tensor(p, "patch:conv.bias", None), "is missing"),
    "infinite bias": (
        STATIC,
        lambda p: with_tensor(p, f"{FC}.bias", np.full(16, np.inf, np.float32)),
        "bias is not finite",
    ),
    "palette index": (
        LUT,
        lambda p: with_tensor(p, f"{FC}.weight", np.full((16, 8), 16, np.uint8)),
        "index 16 is outside",
    ),
    "palette values": (LUT, lambda p: with_tensor(p, f"{FC}.lut", np.zeros((4, 15), np.float32)), "(4, 16)"),
    "palette nan": (
        LUT,
        lambda p: with_tensor(p, f"{FC}.lut", np.full((4, 16), np.nan, np.float32)),
        "not finite",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_nonsense_is_one_error_that_names_the_site(name: str) -> None:
    capabilities, edit, words = BROKEN[name]
    with pytest.raises(InputError) as raised:
        check_plan(edit(plan_of(capabilities)), small.vit_graph(), capabilities)
    assert words in raised.value.message and raised.value.hint
    assert raised.value.message.startswith(f"--plan, test {capabilities.precision}")


def test_a_plan_without_the_pair_limit_is_refused_where_it_is_asked_for() -> None:
    limited = replace(SAFE, kinds=(replace(SAFE.kinds[0], saturation_limit=128),))
    with pytest.raises(InputError, match="neighbouring weights sum to"):
        check_plan(plan_of(SAFE), small.vit_graph(), limited)
    stats = measured(small.vit_graph(), small.images(20))
    kept = make_plan(small.vit_graph(), stats, None, limited, CHOICES)
    assert check_plan(kept, small.vit_graph(), limited) == kept


def test_the_hint_for_another_model_names_what_else_changes_weights() -> None:
    with pytest.raises(InputError) as raised:
        check_plan(plan_of(STATIC), small.conv_graph(), STATIC)
    assert all(word in raised.value.hint for word in ("--calibrate", "--seed", "fold"))


def test_a_pair_that_the_plan_does_not_have_and_one_that_it_has_twice() -> None:
    plans = [plan_of(STATIC), plan_of(LUT)]
    assert find_given(plans, LUT) is plans[1]
    with pytest.raises(InputError, match="no plan for test w4; it has test w8a8, test lut4"):
        find_given(plans, FOUR)
    with pytest.raises(InputError, match="2 plans"):
        find_given([*plans, plans[0]], STATIC)


def test_products_of_two_activations_are_checked_too() -> None:
    kinds = (OpCapabilities("qk", "int8", None, "float32"), OpCapabilities("av", "int8", None, "float32"))
    capabilities = BackendCapabilities("test", "w8a8", "float16", kinds, "float16")
    graph, images = small.vit_graph(), small.images(20)
    stats = measured(graph, images, capabilities)
    plan = make_plan(graph, stats, images, capabilities, CHOICES)
    assert {s.kind for s in plan.sites} == {"qk", "av"}
    assert check_plan(plan, graph, capabilities) == plan
    name = plan.sites[0].site
    for changes, message in (
        ({"rhs": None}, "its rhs is float"),
        ({"rhs": QuantParams("int8", (0.1,) * 8, (0,) * 8, axis=2)}, "takes one for the tensor"),
        ({"weight": QuantParams("int8", (0.1,), (0,))}, "has no weight"),
        ({"bias": "float32"}, "no bias"),
    ):
        with pytest.raises(InputError, match=message):
            check_plan(with_site(plan, name, **changes), graph, capabilities)
    with pytest.raises(InputError, match="qk is computed in float16"):
        check_plan(plan, graph, replace(capabilities, kinds=kinds[1:]))


def test_edited_scales_change_the_simulation() -> None:
    from edgevit.quant.simulate import simulate

    plan = plan_of(STATIC)
    edited = check_plan(with_grid(plan, "input", scale=(0.5,)), small.vit_graph(), STATIC)
    images = small.images()
    assert not torch.equal(
        simulate(small.vit_graph(), plan, images)[0], simulate(small.vit_graph(), edited, images)[0]
    )
