"""Which sites stay in float: the most costly for their size, as far as the share goes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgevit.core.capabilities import BackendCapabilities, OpCapabilities
from edgevit.core.errors import InputError, UsageError
from edgevit.core.quant_params import DynamicQuantization
from edgevit.core.types import Stats
from edgevit.program.run import run
from edgevit.program.sites import Site
from edgevit.quant.check import check_plan
from edgevit.quant.mixed_precision import choose_fallback
from edgevit.quant.plan import make_plan, measure_output_sensitivity
from edgevit.quant.simulate import simulate
from edgevit.registries import ALGORITHMS, TARGETS
from tests.edgevit.graph import _small as small
from tests.edgevit.quant.test_plan import CHOICES, measured

KINDS = {
    "linear": OpCapabilities("linear", "uint8", None, "int32"),
    "conv": OpCapabilities("conv", "uint8", "uint8", "int32"),
}


def site(name: str, source: str, macs: int) -> Site:
    return Site(name, name.rpartition(":")[2], name, source, macs, "weight", None, (1, 4), 8)


def stats(**sensitivities: float) -> Stats:
    values = {(name, "range_sensitivity"): np.array([2 * cost, cost]) for name, cost in sensitivities.items()}
    return Stats(values, 16)


SITES = (
    site("stem:conv", "image", 10),
    site("q:linear", "norm", 20),
    site("k:linear", "norm", 20),
    site("proj:linear", "mixed", 25),
    site("next:conv", "stem:conv", 15),
)
COSTS = {"image": 9.0, "norm": 40.0, "mixed": 25.0, "stem:conv": 100.0, "next:conv": 25.0}


@pytest.mark.parametrize(
    ("share", "wanted"),
    [
        (0.0, ()),
        (0.099, ()),
        (0.15, ("next:conv",)),  # 25 for 15 %: 1.67 for each per cent; the tensor it reads is rounded anyway
        (0.25, ("next:conv", "stem:conv")),  # then proj, 25 for 25, the next for its size, does not fit
        (0.40, ("next:conv", "proj:linear")),
        (0.55, ("next:conv", "q:linear", "k:linear")),  # 41 for 40: before proj
        (1.0, ("next:conv", "proj:linear", "q:linear", "k:linear", "stem:conv")),
    ],
)
def test_the_most_costly_for_their_size_stay_in_float(share: float, wanted: tuple[str, ...]) -> None:
    costs = {**COSTS, "norm": 39.0 if share == 0.4 else 41.0}
    found = choose_fallback(SITES, KINDS, stats(**costs), 100, share)
    assert set(found) == set(wanted)


def test_the_reason_has_both_figures_and_little_ones_are_no_reason() -> None:
    found = choose_fallback(SITES, KINDS, stats(**COSTS), 100, 0.15)
    assert found["next:conv"].startswith("rounding its activations is 25 % of what")
    assert found["next:conv"].endswith("for 15 % of the multiply-accumulates")
    few = {**COSTS, "next:conv": 2.0}  # 2 of 76
    assert "next:conv" not in choose_fallback(SITES, KINDS, stats(**few), 100, 0.15)
    assert choose_fallback(SITES, KINDS, Stats({}, 0), 100, 0.5) == {}


def test_a_product_of_two_activations_costs_what_both_its_operands_cost() -> None:
    kinds = {**KINDS, "av": OpCapabilities("av", "int8", None, "float32")}
    product = replace(site("a:av", "softmax", 10), weight=None, rhs="value")
    costs = {**COSTS, "softmax": 4.0, "value": 30.0}
    found = choose_fallback((*SITES, product), kinds, stats(**costs), 110, 10 / 110)
    assert set(found) == {"a:av"}  # 34 for 10: before next:conv, 25 for 15
    assert found["a:av"].startswith("rounding its activations is 26 % of what")  # 34 of 133


def test_thin_convolutions_between_integers_stay_integer_where_float_is_slower_there() -> None:
    """`next:conv` does 15 products for its 8 values."""
    for intensity, wanted in ((15 / 8, True), (16 / 8, False)):
        kinds = {**KINDS, "conv": replace(KINDS["conv"], min_intensity=intensity)}
        assert ("next:conv" in choose_fallback(SITES, kinds, stats(**COSTS), 100, 0.15)) == wanted


def test_what_is_spared_makes_the_plan_better_and_is_named() -> None:
    graph, images = small.vit_graph(), small.images(64)
    kinds = (KINDS["linear"], KINDS["conv"])
    plain = BackendCapabilities("test", "w8a8", "float32", kinds)
    algorithm = ALGORITHMS.get("output_aware")
    seen = measure_output_sensitivity(graph, images[:24], measured(graph, images), (plain,), algorithm, 0)
    wanted = simulate(graph, replace(make_plan(graph, seen, images, plain, CHOICES), sites=()), images)[0]
    db = {}
    for share in (0.0, 0.3):
        plan = make_plan(graph, seen, images, replace(plain, float_macs=share), CHOICES)
        left = [name for name, reason in plan.skipped if reason.startswith("rounding its activations")]
        assert bool(left) == (share > 0) and not {s.site for s in plan.sites} & set(left)
        assert not any(name.rpartition(".")[0] in left for name in plan.tensors)
        db[share] = small.db(wanted, simulate(graph, plan, images)[0])
    assert db[0.3] > db[0.0] + 0.3


def test_what_is_spared_may_be_quantized_at_run_time_instead() -> None:
    """As good as in float within a decibel, planned, check_plan when it is given back, and not among the skipped."""
    graph, images = small.vit_graph(), small.images(64)
    per_token = DynamicQuantization("int8", "token", symmetric=False)
    linear = OpCapabilities("linear", "int8", "int8", "int32", output_channels=True)
    plain = BackendCapabilities("test", "w8a8", "float32", (linear, KINDS["conv"]), float_macs=0.3)
    seen = measure_output_sensitivity(
        graph, images[:24], measured(graph, images), (plain,), ALGORITHMS.get("output_aware"), 0
    )
    wanted = run(graph, images)[0][0]
    db, dynamic = {}, set()
    for spared_as in (None, per_token):
        capabilities = replace(plain, kinds=(replace(linear, fallback=spared_as), KINDS["conv"]))
        plan = make_plan(graph, seen, images, capabilities, CHOICES)
        assert check_plan(plan, graph, capabilities) == plan
        left = {name for name, reason in plan.skipped if reason.startswith("rounding its activations")}
        dynamic = {s.site for s in plan.sites if s.dynamic is not None}
        if spared_as is None:
            in_float, costly = left, {name for name in left if name.endswith(":linear")}
        else:
            assert dynamic == costly != set() and left == in_float - costly
        db[spared_as] = small.db(wanted, simulate(graph, plan, images)[0])
    assert all(s.input is None and s.output is None and s.bias == "float32" for s in plan.sites if s.dynamic)
    assert db[per_token] > db[None] - 1
    with pytest.raises(InputError, match="its input is float"):
        check_plan(plan, graph, plain)


@pytest.mark.parametrize("target", ["onnx", "tflite", "coreml"])
def test_the_share_is_an_option_of_every_target(target: str) -> None:
    capabilities = TARGETS.get(target).capabilities
    default, none = capabilities("w8a8"), capabilities("w8a8", {"float_macs": "0"})
    assert default is not None and none is not None
    assert (default.float_macs, none.float_macs) == (0.05, 0.0)
    w8 = capabilities("w8")
    assert w8 is not None and w8.float_macs == 0
    for wrong in ("much", "-0.1", "0.1", "nan"):
        with pytest.raises(UsageError, match=f"{target}.float_macs must be a number"):
            capabilities("w8a8", {"float_macs": wrong})
