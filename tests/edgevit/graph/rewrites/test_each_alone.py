"""No rewrite needs another one: each can be switched off, and each can be the only one."""

from __future__ import annotations

import copy
from functools import cache

import pytest
import torch
from torch import nn

from edgevit.core.types import Graph
from edgevit.graph.export import export_model
from edgevit.program import constants, sites
from edgevit.registries import REWRITES
from tests.edgevit.graph import _small as small
from tests.edgevit.graph.rewrites import _rewritten as r

SHARED = {name: REWRITES.get(name) for name in REWRITES.names() if not REWRITES.get(name).targets}


def _swin() -> nn.Module:
    from timm.models.swin_transformer import SwinTransformer

    return SwinTransformer(
        img_size=16, patch_size=2, embed_dim=8, depths=(2, 1), num_heads=(2, 2), window_size=4, num_classes=4
    )


@cache
def _exported(name: str) -> tuple[nn.Module, torch.export.ExportedProgram]:
    module = small.randomised(_swin()) if name == "swin" else small.vit()
    return module, export_model(small.model_of(module), {}).program


@pytest.mark.parametrize("without", sorted(SHARED))
@pytest.mark.parametrize("model", ["swin", "vit"])
def test_the_others_do_without_it(model: str, without: str) -> None:
    module, exported = _exported(model)
    graph = Graph(copy.deepcopy(exported))
    for name in sorted(SHARED, key=lambda n: SHARED[n].order):
        if name != without:
            SHARED[name].apply(graph.program)
    constants.drop_unused(graph.program)
    sites.name_sites(graph.program)
    assert r.difference(graph, module) > 115


def test_all_together_leave_a_swin_without_what_runtimes_lack() -> None:
    module, exported = _exported("swin")
    graph = export_model(small.model_of(module), SHARED)
    assert r.rank(graph) == 4
    gone = {"roll", "index", "unbind", "alias", "expand", "pad", "mul", "view", "transpose"}
    assert not gone & set(r.kinds(graph))
    assert r.kinds(graph).total() < 0.8 * sum(n.op == "call_function" for n in exported.graph.nodes)
    assert r.difference(graph, module) > 115


def test_all_together_leave_a_vit_of_slices_and_single_permutations() -> None:
    graph = export_model(small.model_of(small.vit()), SHARED)
    per_block = {
        "layer_norm": 2,
        "linear": 4,
        "slice": 3,
        "qk": 1,
        "softmax": 1,
        "av": 1,
        "gelu": 1,
        "add": 2,
    }
    kinds = r.kinds(graph)
    assert {kind: kinds[kind] for kind in per_block if kind != "linear"} == {
        kind: 2 * count for kind, count in per_block.items() if kind != "linear"
    }
    assert kinds["permute"] == 2 * 4 + 1 and not {"mul", "transpose", "unbind", "clone"} & set(kinds)
