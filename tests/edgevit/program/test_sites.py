"""Names of operations, and their multiply-accumulates, against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch

from edgevit.core.types import Graph
from edgevit.program import sites
from edgevit.program.sites import Site, kind_of, list_sites, module_of, name_sites, site_of


class Net(torch.nn.Module):
    """(1, 3, 8, 8): a strided convolution, a depthwise and a transposed one, one layer called twice, products."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 2, 2)
        self.deep = torch.nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.up = torch.nn.ConvTranspose2d(8, 4, 2, 2)
        self.mix = torch.nn.Linear(16, 16)
        self.register_buffer("table", torch.ones(4, 4))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        x = self.deep(self.stem(image))
        tokens = self.mix(self.mix(x.flatten(2)))  # (1, 8, 16), the same layer twice
        product = tokens @ tokens.transpose(1, 2)  # (1, 8, 16) x (1, 16, 8)
        rows = torch.einsum("bij,bkj->bik", product, tokens[:, :, :8] + self.table.exp().sum())
        return self.up(x), rows, tokens


@pytest.fixture(scope="module")
def graph() -> Graph:
    program = torch.export.export(Net().eval(), (torch.zeros(1, 3, 8, 8),))
    name_sites(program)
    return Graph(program, ())


@pytest.fixture(scope="module")
def found(graph: Graph) -> dict[str, Site]:
    return {site.name: site for site in list_sites(graph)}


def test_each_operation_has_a_name_of_its_own_by_module_and_call(
    graph: Graph, found: dict[str, Site]
) -> None:
    operations = [n for n in graph.program.graph.nodes if n.op == "call_function"]
    assert len(found) == len(operations)
    assert {"stem:conv", "deep:conv", "up:conv_transpose", "mix:linear", "mix@1:linear"} <= set(found)
    assert found["mix@1:linear"].source == "mix:linear" and found["deep:conv"].source == "stem:conv"
    assert found["stem:conv"].source == "image"


def test_multiply_accumulates_are_those_of_the_definition(found: dict[str, Site]) -> None:
    macs = {name: site.macs for name, site in found.items() if site.macs}
    assert macs == {
        "stem:conv": 4 * 4 * 8 * (3 * 2 * 2),  # outputs times the length of each sum
        "deep:conv": 4 * 4 * 8 * (1 * 3 * 3),  # depthwise: one input channel each
        "up:conv_transpose": 4 * 4 * 8 * (4 * 2 * 2),  # each input meets the weights of its channel once
        "mix:linear": 8 * 16 * 16,
        "mix@1:linear": 8 * 16 * 16,
        ":matmul": 8 * 8 * 16,
        ":einsum": 8 * 8 * 8,
    }


def test_constants_are_named_where_a_layer_has_them(found: dict[str, Site]) -> None:
    assert (found["stem:conv"].weight, found["stem:conv"].bias) == ("stem.weight", "stem.bias")
    assert (found["deep:conv"].weight, found["deep:conv"].bias) == ("deep.weight", None)
    assert found[":matmul"].weight is None
    assert found["stem:conv"].shape == (1, 8, 4, 4)
    assert found["stem:conv"].values == 3 * 8 * 8 + 8 * 4 * 4


def test_what_depends_on_constants_alone_is_the_same_for_all_images(graph: Graph) -> None:
    alike = sites.same_for_all_images(graph)
    assert {":exp", ":sum"} <= alike and any("table" in name for name in alike)
    assert not {"image", "stem:conv", ":matmul", ":add"} & alike


def test_parts_of_a_name() -> None:
    assert (kind_of("blocks.0:add.1"), module_of("blocks.0:add.1")) == ("add", "blocks.0")
    assert (kind_of(":matmul"), module_of(":matmul")) == ("matmul", "")


def test_names_that_are_there_stay_and_two_of_one_name_are_a_fault(graph: Graph) -> None:
    program = torch.export.export(Net().eval(), (torch.zeros(1, 3, 8, 8),))
    name_sites(program)
    before = [site_of(n) for n in program.graph.nodes if n.op == "call_function"]
    name_sites(program)
    operations = [n for n in program.graph.nodes if n.op == "call_function"]
    assert [site_of(n) for n in operations] == before
    operations[1].meta["custom"] = dict(operations[0].meta["custom"])
    with pytest.raises(ValueError, match="several operations are called stem:conv"):
        name_sites(program)
