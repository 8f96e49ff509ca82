"""One step of a recurrent layer, in the operators that every runtime has.

With x_t (batch, inputs), h and c (batch, hidden); an axis of directions in front of all:

    RNN    h = f(W x_t + b + U h + d), f is tanh or relu                          (Elman 1990)
    LSTM   i, f, g, o = W x_t + b + U h + d
           c = sigmoid(f) c + sigmoid(i) tanh(g);  h = sigmoid(o) tanh(c)         (Hochreiter and Schmidhuber 1997)
    GRU    r, z, n = W x_t + b and r', z', n' = U h + d
           m = tanh(n + sigmoid(r + r') n');  h = m + sigmoid(z + z') (h - m)     (Cho et al. 2014, as in PyTorch)

`row` is W x_t + b, with d where the two are added anyway; `product` is U h, of a GRU with d.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from edgevit.program import edit

if TYPE_CHECKING:
    import torch

    Emit = Callable[..., torch.fx.Node]
    State = tuple[torch.fx.Node, ...]
    Step = Callable[[Emit, torch.fx.Node, torch.fx.Node, State], State]


def emitter(node: torch.fx.Node) -> Emit:
    """`emit(operator, *arguments)` in front of `node`."""

    def emit(target: Any, *arguments: Any) -> torch.fx.Node:
        return edit.emit(node, target, arguments)

    return emit


def _lstm(emit: Emit, row: torch.fx.Node, product: torch.fx.Node, state: State) -> State:
    import torch

    aten, (h, c) = torch.ops.aten, state
    i, f, g, o = _gates(emit, emit(aten.add.Tensor, row, product), edit.shape(h)[-1])
    kept = emit(aten.mul.Tensor, emit(aten.sigmoid.default, f), c)
    new = emit(aten.mul.Tensor, emit(aten.sigmoid.default, i), emit(aten.tanh.default, g))
    cell = emit(aten.add.Tensor, kept, new)
    return emit(aten.mul.Tensor, emit(aten.sigmoid.default, o), emit(aten.tanh.default, cell)), cell


def _gru(emit: Emit, row: torch.fx.Node, product: torch.fx.Node, state: State) -> State:
    import torch

    aten, (h,) = torch.ops.aten, state
    hidden = edit.shape(h)[-1]
    (r, z, n), (r2, z2, n2) = _gates(emit, row, hidden), _gates(emit, product, hidden)
    reset = emit(aten.sigmoid.default, emit(aten.add.Tensor, r, r2))
    update = emit(aten.sigmoid.default, emit(aten.add.Tensor, z, z2))
    new = emit(aten.tanh.default, emit(aten.add.Tensor, n, emit(aten.mul.Tensor, reset, n2)))
    kept = emit(aten.mul.Tensor, update, emit(aten.sub.Tensor, h, new))
    return (emit(aten.add.Tensor, new, kept),)


def _rnn_tanh(emit: Emit, row: torch.fx.Node, product: torch.fx.Node, _state: State) -> State:
    import torch

    return (emit(torch.ops.aten.tanh.default, emit(torch.ops.aten.add.Tensor, row, product)),)


def _rnn_relu(emit: Emit, row: torch.fx.Node, product: torch.fx.Node, _state: State) -> State:
    import torch

    return (emit(torch.ops.aten.relu.default, emit(torch.ops.aten.add.Tensor, row, product)),)


def _gates(emit: Emit, value: torch.fx.Node, hidden: int) -> list[torch.fx.Node]:
    import torch

    starts = range(0, edit.shape(value)[-1], hidden)
    return [emit(torch.ops.aten.slice.Tensor, value, 2, start, start + hidden) for start in starts]


# PyTorch's operators over whole sequences.
STEPS: Final[dict[str, Step]] = {"lstm": _lstm, "gru": _gru, "rnn_tanh": _rnn_tanh, "rnn_relu": _rnn_relu}
