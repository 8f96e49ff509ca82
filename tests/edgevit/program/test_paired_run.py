"""Two runs side by side against two runs one after the other."""

from __future__ import annotations

from typing import Any

import torch

from edgevit.program.paired_run import Beside, paired_run
from edgevit.program.run import run
from edgevit.program.sites import site_of
from tests.edgevit.graph import _small as small


def test_every_operation_sees_both_runs_and_what_was_decided_flows_on() -> None:
    graph, images = small.vit_graph(), small.images(40)
    last: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    done = 0

    def decide(node: torch.fx.Node, real: tuple[Any, ...], other: tuple[Any, ...]) -> torch.Tensor | None:
        if site_of(node) == "head:linear":
            last["head"] = (real[0], other[0])
        if site_of(node) == "mlp.0.1:gelu":
            assert torch.equal(real[0], other[0])
            return torch.nn.functional.relu(other[0])
        return None

    def advance(count: int) -> None:
        nonlocal done
        done += count

    paired_run(graph, images, [Beside(decide)], advance)

    def around(node: torch.fx.Node, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        changed = site_of(node) == "mlp.0.1:gelu"
        return torch.relu(args[0]) if changed else operation(*args, **kwargs)

    module = small.vit()
    for got, wanted in zip(
        last["head"], (run(graph, images)[0], run(graph, images, around=around)[0]), strict=True
    ):
        made = module.get_submodule("head")(got[:, 0])
        torch.testing.assert_close(made, wanted[0], rtol=1e-4, atol=1e-5)
    assert done > 20
