"""Recurrent layers as their steps against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgevit.core.errors import UnsupportedError
from edgevit.graph.export import export_model
from edgevit.graph.rewrites import fold_constants, recurrent_as_steps
from edgevit.program.run import run
from tests.edgevit.graph import _small as small

REWRITES = {"fold_constants": fold_constants.REWRITE, "recurrent_as_steps": recurrent_as_steps.REWRITE}

LAYERS = {
    "LSTM of two layers, both directions": nn.LSTM(48, 5, 2, batch_first=True, bidirectional=True),
    "LSTM without biases": nn.LSTM(48, 5, bias=False),
    "GRU, both directions": nn.GRU(48, 5, bidirectional=True),
    "GRU of two layers": nn.GRU(48, 4, 2, batch_first=True),
    "RNN with tanh, both directions": nn.RNN(48, 6, bidirectional=True),
    "RNN with ReLU": nn.RNN(48, 6, nonlinearity="relu", bias=False),
}


class _Net(nn.Module):
    """A layer over the 16 rows of the image; all that it returns."""

    def __init__(self, layer: nn.Module, starts: tuple[torch.Tensor, ...] = ()) -> None:
        super().__init__()
        self.layer = layer
        self.starts = starts

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        rows = image.permute(0, 2, 1, 3).flatten(2).reshape(1, 16, -1)
        start = self.starts if len(self.starts) > 1 else self.starts[0] if self.starts else None
        value, states = self.layer(rows, start)
        states = states if isinstance(states, tuple) else (states,)
        return torch.cat([part.reshape(1, -1) for part in (value, *states)], 1)


@pytest.mark.parametrize("name", LAYERS)
def test_steps_give_what_the_layer_gives(name: str) -> None:
    module = small.randomised(_Net(LAYERS[name]))
    graph = export_model(small.model_of(module), REWRITES)
    assert "recurrent_as_steps" in graph.rewrites
    called = {str(n.target) for n in graph.program.graph.nodes if n.op == "call_function"}
    assert not any(word in target for target in called for word in ("lstm", "gru", "rnn"))
    images = small.images(3)
    with torch.no_grad():
        wanted = torch.cat([module(image[None]) for image in images])
    assert small.db(wanted, run(graph, images)[0][0]) > 120


def test_first_states_of_the_model_are_taken() -> None:
    layer, starts = (
        nn.LSTM(48, 5, batch_first=True),
        (torch.full((1, 1, 5), 0.7), torch.full((1, 1, 5), -2.0)),
    )
    module = small.randomised(_Net(layer, starts))
    graph = export_model(small.model_of(module), REWRITES)
    with torch.no_grad():
        wanted, blank = module(small.images(1)), _Net(layer)(small.images(1))
    found = run(graph, small.images(1))[0][0]
    assert small.db(wanted, found) > 120
    assert small.db(blank, found) < 40


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (_Net(nn.LSTM(48, 8, proj_size=3)), r"aten\.lstm of the module 'layer'.*projections"),
        (_Net(nn.GRU(48, 3, batch_first=True)), r"aten\.gru of the module 'layer'.*16 steps"),
    ],
)
def test_what_is_not_written_out_is_refused_by_name(
    module: nn.Module, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recurrent_as_steps, "MAX_STEPS", 15)
    with pytest.raises(UnsupportedError, match=words):
        export_model(small.model_of(small.randomised(module)), REWRITES)
