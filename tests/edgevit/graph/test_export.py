"""The exported and rewritten program against the module it came from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from edgevit.core.errors import UnsupportedError
from edgevit.core.types import Graph
from edgevit.graph.export import export_model, input_node
from edgevit.program import graph_file
from edgevit.program.run import run
from edgevit.program.sites import list_sites, site_of, total_macs
from tests.edgevit.graph import _small as small


@pytest.mark.parametrize("make", [small.conv_net, small.vit])
def test_the_graph_computes_what_the_module_computes(make: object) -> None:
    assert callable(make)
    module = make()
    graph = small.graph_of(module)
    with torch.no_grad():
        wanted = module(small.images())
        one = graph.program.module()(small.images()[:1])
    assert small.db(wanted[:1], one) > 100
    outputs, _ = run(graph, small.images())
    assert outputs[0].shape == wanted.shape
    assert small.db(wanted, outputs[0]) > 100


def test_more_images_than_a_chunk_come_back_in_order() -> None:
    module = small.conv_net()
    told: list[int] = []
    outputs, seen = run(
        small.graph_of(module),
        small.images(70),
        observe=lambda node, value: {"first": value[0, 0, 0, 0]} if node.op == "placeholder" else {},
        advance=told.append,
    )
    with torch.no_grad():
        assert small.db(module(small.images(70)), outputs[0]) > 100
    assert torch.equal(seen["first"], small.images(70)[:, 0, 0, 0])
    assert told == [32, 32, 6]


def test_around_and_constants_replace_operations_and_weights() -> None:
    graph = small.conv_graph()

    def doubled(
        node: torch.fx.Node, operation: object, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> object:
        assert callable(operation)
        result = operation(*args, **kwargs)
        return 2 * result if site_of(node) == "head:linear" else result

    plain = run(graph, small.images())[0][0]
    torch.testing.assert_close(run(graph, small.images(), around=doubled)[0][0], 2 * plain)
    zero = {"head.weight": lambda: torch.zeros(4, 8), "head.bias": lambda: torch.arange(4.0)}
    torch.testing.assert_close(
        run(graph, small.images(), constants=zero)[0][0], torch.arange(4.0).expand(5, 4)
    )


def test_a_model_with_two_outputs_gives_both() -> None:
    class Two(nn.Module):
        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return image.mean((2, 3)), image.amax((2, 3))

    graph = export_model(small.model_of(Two(), outputs=2), small.REWRITES)
    mean, most = run(graph, small.images())[0]
    torch.testing.assert_close(mean, small.images().mean((2, 3)))
    torch.testing.assert_close(most, small.images().amax((2, 3)))


def test_names_and_values_survive_a_file(tmp_path: Path) -> None:
    graph = small.vit_graph()
    graph_file.save(graph, tmp_path / "graph.pt2")
    loaded = graph_file.load(tmp_path / "graph.pt2")
    assert loaded.rewrites == graph.rewrites
    assert [s.name for s in list_sites(loaded)] == [s.name for s in list_sites(graph)]
    assert total_macs(loaded) == total_macs(graph)
    assert input_node(loaded.program).name == "image"
    again = list_sites(Graph(loaded.program.run_decompositions({})))
    assert [s.name for s in again if s.macs] == [s.name for s in list_sites(graph) if s.macs]
    torch.testing.assert_close(
        run(loaded, small.images())[0][0], run(graph, small.images())[0][0], rtol=0, atol=0
    )


def test_sites_have_unique_names_by_module_and_role() -> None:
    names = [s.name for s in list_sites(small.vit_graph())]
    assert len(set(names)) == len(names)
    expected = {"patch:conv", "attn.0.qkv:linear", "attn.0:qk", "attn.0:softmax", "attn.0:av", "attn.1:qk"}
    assert expected | {
        "norm1.0:layer_norm",
        "mlp.1.0:linear",
        "mlp.1.1:gelu",
        "mlp.1.3:linear",
        ":add",
        ":add.1",
    } <= {*names}


def test_a_module_that_is_called_twice_is_two_sites_with_one_weight() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 3, 1)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.layer(torch.relu(self.layer(image)))
            return out

    first, second = (s for s in list_sites(small.graph_of(small.randomised(Twice()))) if s.kind == "conv")
    assert (first.name, second.name) == ("layer:conv", "layer@1:conv")
    assert first.weight == second.weight == "layer.weight"
    assert (first.source, second.source) == ("image", ":relu")


def test_multiply_accumulates_are_those_counted_by_hand() -> None:
    macs = {s.name: s.macs for s in list_sites(small.vit_graph()) if s.macs}
    block = {"qkv:linear": 4 * 8 * 24, "proj:linear": 4 * 8 * 8}  # 4 tokens
    assert macs["patch:conv"] == 4 * 8 * (3 * 8 * 8)
    assert {k: macs[f"attn.0.{k}"] for k in block} == block
    assert (
        macs["attn.0:qk"] == macs["attn.0:av"] == 2 * 4 * 4 * 4
    )  # heads, tokens, tokens, channels of a head
    assert macs["mlp.0.0:linear"] == macs["mlp.0.3:linear"] == 4 * 8 * 16
    assert macs["head:linear"] == 8 * 4
    per_block = 4 * 8 * 24 + 4 * 8 * 8 + 2 * 128 + 2 * 4 * 8 * 16
    assert sum(macs.values()) == 4 * 8 * 192 + 2 * per_block + 32
    convs = {s.name: s.macs for s in list_sites(small.conv_graph()) if s.kind == "conv"}
    assert convs == {"stem.0:conv": 8 * 8 * 8 * 27, "depth.0:conv": 8 * 8 * 8 * 9}


def test_products_of_every_kind_are_counted() -> None:
    class Products(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = nn.ConvTranspose2d(3, 4, 3, 2, groups=1)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            matrix = image[0, 0]
            total = (matrix @ matrix).sum() + torch.addmm(matrix, matrix, matrix).sum()
            total = total + torch.baddbmm(image[0], image[0], image[0]).sum()
            return total + torch.einsum("bchw,bcvw->bchv", image, image).sum() + self.up(image).sum()[None]

    counted = sorted(
        (s.kind, s.macs) for s in list_sites(export_model(small.model_of(Products()), {})) if s.macs
    )
    assert counted == [
        ("conv_transpose", 3 * 16 * 16 * 4 * 9),
        ("einsum", 3 * 16**3),
        ("matmul", 16**3),
        ("matmul", 16**3),
        ("matmul", 3 * 16**3),
    ]


def test_what_cannot_be_exported_is_named() -> None:
    class Branching(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image if float(image.sum()) > 0 else -image

    with pytest.raises(UnsupportedError, match="cannot export small"):
        export_model(small.model_of(Branching()), small.REWRITES)
    with pytest.raises(UnsupportedError, match="1 outputs, the model 2"):
        export_model(small.model_of(small.conv_net(), outputs=2), small.REWRITES)


def test_a_model_that_does_not_look_at_its_image_is_named() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.ones(5))

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.bias.expand(image.shape[0], 5) * 2

    with pytest.raises(UnsupportedError, match="none of its outputs depends on the image"):
        export_model(small.model_of(Constant()), small.REWRITES)


def test_a_rewrite_can_be_switched_off() -> None:
    graph = export_model(small.model_of(small.conv_net()), small.REWRITES, without=("fold_batch_norm",))
    assert "fold_batch_norm" not in graph.rewrites
    assert "fold_batch_norm" in small.conv_graph().rewrites
