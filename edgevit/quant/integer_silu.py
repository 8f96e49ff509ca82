"""SiLU between integers: y = x * sigmoid(x) with the sigmoid in 8 bits, so that a runtime needs a table and a product.

A sigmoid lies between 0 and 1 whatever x is, so that its quantization parameters need no calibration:

    g = round(256 sigmoid(x)) / 256, uint8, zero point 0        (the largest value is 255/256)
    y = x g, rounded to the scale of the layer that reads it    x, y of any shape, int8 or uint8

Steps of 1/256 err by 1/887 of x (root mean square of a uniform error, 1 / (256 sqrt(12))): a quarter of what 8 bits do
to x itself where its largest value is four times its usual one.

It applies where a site gives integers, a SiLU alone reads them, and all that reads the SiLU takes integers, directly or
behind a concatenation. Elsewhere SiLU stays in float.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from edgevit.core.quant_params import QuantParams
from edgevit.core.types import Graph
from edgevit.program.sites import site_of
from edgevit.quant import _affine

if TYPE_CHECKING:
    import torch

SIGMOID: Final = QuantParams("uint8", (1 / 256,), (0,))


def silu(value: torch.Tensor, sigmoid: QuantParams) -> torch.Tensor:
    """x * sigmoid(x), any shape, with the sigmoid on `sigmoid`."""
    return value * _affine.fake_quantize(value.sigmoid(), sigmoid)


def source_of(node: torch.fx.Node) -> str | None:
    """The site whose output a SiLU reads; None where the node is no SiLU."""
    import torch

    if node.target is not torch.ops.aten.silu.default:
        return None
    source = node.args[0]
    assert isinstance(source, torch.fx.Node)
    return site_of(source)


def between_integers(graph: Graph, leaving: Collection[str], entering: Collection[str]) -> frozenset[str]:
    """Sites whose output a SiLU alone reads, and what comes out of that only becomes integers.

    Args:
        leaving, entering: sites with an integer output, and with an integer input.
    """
    found = set()
    for node in graph.program.graph_module.graph.nodes:
        source = source_of(node)
        if (
            source is not None
            and source in leaving
            and len(node.args[0].users) == 1
            and _enters(node, entering)
        ):
            found.add(source)
    return frozenset(found)


def _enters(node: torch.fx.Node, entering: Collection[str]) -> bool:
    """Whether all who read `node` are integer sites, or join it with others for integer sites alone."""
    import torch

    def is_integer(reader: torch.fx.Node) -> bool:
        return reader.op == "call_function" and site_of(reader) in entering

    return bool(node.users) and all(
        is_integer(reader)
        or (
            reader.target is torch.ops.aten.cat.default
            and bool(reader.users)
            and all(is_integer(last) for last in reader.users)
        )
        for reader in node.users
    )
