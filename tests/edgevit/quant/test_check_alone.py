"""A plan held against itself: every fault that needs no model is found without one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgevit.core.capabilities import BackendCapabilities, OpCapabilities
from edgevit.core.errors import InputError
from edgevit.quant.check_alone import check_alone
from edgevit.quant.plan import make_plan
from tests.edgevit.graph import _small as small
from tests.edgevit.quant.test_check import (
    BROKEN,
    CHOICES,
    FC,
    FOUR,
    LUT,
    SAFE,
    STATIC,
    measured,
    plan_of,
    with_site,
    with_tensor,
)

# What only the model's graph can show.
NEEDS_THE_MODEL = ("other model", "unknown site", "wrong kind", "cannot be integer", "bias", "weight shape")


@pytest.mark.parametrize("capabilities", [STATIC, FOUR, LUT, SAFE], ids=lambda p: p.precision)
def test_a_plan_that_nobody_edited_is_right(capabilities: BackendCapabilities) -> None:
    check_alone(plan_of(capabilities), capabilities)


def test_products_of_two_activations_have_no_weight_to_look_for() -> None:
    kinds = (OpCapabilities("qk", "int8", None, "float32"), OpCapabilities("av", "int8", None, "float32"))
    capabilities = BackendCapabilities("test", "w8a8", "float16", kinds, "float16")
    graph, images = small.vit_graph(), small.images(20)
    plan = make_plan(graph, measured(graph, images, capabilities), images, capabilities, CHOICES)
    check_alone(plan, capabilities)
    with pytest.raises(InputError, match="its rhs is float"):
        check_alone(with_site(plan, plan.sites[0].site, rhs=None), capabilities)


@pytest.mark.parametrize("name", [name for name in BROKEN if name not in NEEDS_THE_MODEL])
def test_nonsense_is_found_without_the_model(name: str) -> None:
    capabilities, edit, words = BROKEN[name]
    with pytest.raises(InputError) as raised:
        check_alone(edit(plan_of(capabilities)), capabilities)
    said = {"nothing to quantize": "leaves the kind 'layer_norm' in float"}.get(name, words)
    said = {"few weight scales": "1 scales, 16", "few zero points": "1 zero points, 16"}.get(name, said)
    assert said in raised.value.message and raised.value.hint
    assert raised.value.message.startswith(f"--plan, test {capabilities.precision}")


def test_integers_that_fit_no_layer_and_folds_that_nobody_makes() -> None:
    with pytest.raises(InputError, match=r"its weight has 16 scales, 8 are needed"):
        check_alone(with_tensor(plan_of(STATIC), f"{FC}.weight", np.zeros((8, 16), np.int8)), STATIC)
    for shape in ((), (16,)):
        with pytest.raises(InputError, match="has 2 axes or more"):
            check_alone(with_tensor(plan_of(STATIC), f"{FC}.weight", np.zeros(shape, np.int8)), STATIC)
    folded = replace(plan_of(STATIC), capabilities=replace(STATIC, folds=("nonsense",)))
    with pytest.raises(InputError, match="name the fold nonsense, this run makes none"):
        check_alone(folded, STATIC)
