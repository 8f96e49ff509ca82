"""Each rewrite alone: it fires, it removes what it is for, and the values stay."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgevit.core.types import Graph
from edgevit.graph.export import export_model
from edgevit.graph.rewrites import fold_batch_norm, fold_constants, remove_aliases, split_attention
from edgevit.program.run import run
from edgevit.program.sites import list_sites
from tests.edgevit.graph import _small as small


def kinds(graph: Graph) -> list[str]:
    return [s.kind for s in list_sites(graph)]


def agrees(graph: Graph, module: nn.Module) -> bool:
    with torch.no_grad():
        return small.db(module(small.images()), run(graph, small.images())[0][0]) > 100


def test_batch_norm_disappears_into_convolutions_with_and_without_bias() -> None:
    module = small.conv_net()
    before = small.graph_of(module, remove_aliases=remove_aliases.REWRITE)
    after = small.graph_of(module, fold_batch_norm=fold_batch_norm.REWRITE)
    assert any("batch_norm" in k for k in kinds(before))
    assert not any("batch_norm" in k for k in kinds(after))
    assert after.rewrites == ("fold_batch_norm",)
    assert agrees(after, module)
    conv = next(s for s in list_sites(after) if s.name == "stem.0:conv")
    norm = module.get_submodule("stem.1")
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    assert conv.bias is not None
    torch.testing.assert_close(after.program.state_dict[conv.bias], norm.bias - norm.running_mean * gain)


def test_a_folded_program_keeps_no_weight_that_nothing_reads() -> None:
    graph = small.conv_graph()
    assert not [name for name in graph.program.state_dict if "running" in name or ".1." in name]


@pytest.mark.parametrize(("reader", "left"), [("twice", {"conv", "mul", "add"}), ("first", {"conv"})])
def test_batch_norm_that_is_not_alone_behind_a_convolution_is_written_otherwise(
    reader: str, left: set[str]
) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            if reader == "first":
                first: torch.Tensor = self.conv(self.norm(image))
                return first
            value: torch.Tensor = self.conv(image)
            return value + self.norm(value)

    module = small.randomised(Net())
    graph = small.graph_of(module)
    assert set(kinds(graph)) == left
    assert agrees(graph, module)


class Masked(nn.Module):
    def __init__(self, **options: object) -> None:
        super().__init__()
        self.options = options
        self.mask = nn.Buffer(torch.randn(16, 16, generator=torch.Generator().manual_seed(2)))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        options = dict(self.options)
        if "boolean" in options:
            mask = self.mask > options.pop("boolean")  # type: ignore[operator]
        else:
            mask = None if options.get("is_causal") else self.mask
        out: torch.Tensor = nn.functional.scaled_dot_product_attention(
            image,
            2 * image,
            image + 1,
            attn_mask=mask,
            **options,  # type: ignore[arg-type]
        )
        return out


@pytest.mark.parametrize("options", [{}, {"scale": 0.3}])
def test_attention_becomes_two_named_products_with_mask_and_scale(options: dict[str, object]) -> None:
    module = Masked(**options).eval()
    graph = small.graph_of(module, split_attention=split_attention.REWRITE)
    assert {"qk", "softmax", "av"} <= set(kinds(graph))
    assert not any("attention" in k for k in kinds(graph))
    assert agrees(graph, module)


@pytest.mark.parametrize("options", [{"is_causal": True}, {"boolean": -0.5}, {"boolean": 1.9}])
@pytest.mark.parametrize("constant", [True, False])
def test_causal_and_boolean_masks_become_additive_and_rows_without_any_key_give_zero(
    options: dict[str, object], constant: bool
) -> None:
    module = Masked(**options).eval()
    if "boolean" in options:
        rows = (module.mask > options["boolean"]).any(-1)
        assert bool(rows.all()) == (options["boolean"] == -0.5) and bool(rows.any())
    chosen = {"split_attention": split_attention.REWRITE}
    if constant:
        chosen["fold_constants"] = fold_constants.REWRITE
    graph = small.graph_of(module, **chosen)
    assert {"qk", "softmax", "av"} <= set(kinds(graph))
    assert agrees(graph, module)


def test_aliases_and_copies_go_and_views_become_reshapes() -> None:
    class Copies(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            value = nn.functional.dropout(image.clone().view(-1, 3, 256), 0.5, self.training)
            return value.transpose(1, 2).contiguous().detach().clone()

    module = Copies().eval()
    graph = export_model(small.model_of(module), {"remove_aliases": remove_aliases.REWRITE})
    assert set(kinds(graph)) == {"reshape", "transpose"}
    assert agrees(graph, module)
