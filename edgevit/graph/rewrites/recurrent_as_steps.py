"""Write recurrent layers (LSTM, GRU, RNN) over a fixed number of steps as these steps.

With x_t (batch, inputs), h (batch, hidden) and weights W (gates * hidden, inputs), U (gates * hidden, hidden)

    z_t = W x_t + b + U h_(t-1) + c          then the cell's own equations, such as for the LSTM (Hochreiter and
    i, f, g, o = parts of z_t                Schmidhuber 1997, as https://docs.pytorch.org/docs/stable/generated/
    s_t = sigmoid(f) s_(t-1) + sigmoid(i) tanh(g),   h_t = sigmoid(o) tanh(s_t)          torch.nn.LSTM.html has them)

1. W x_t for all steps and both directions is one linear layer, a site like any other; only U h is done step by step.
2. Several layers: the sequence of one is the input of the next. Two directions: the second reads from the end.
3. More than 256 steps, packed sequences, or a projection of the state: refused by name, since the file would be huge,
   or its steps not fixed.

torch.onnx exports two of the four kinds, litert-torch and coremltools none from an exported program, and none can be
calibrated on many images at once; sums, products, sigmoids and tangents all of them can. Exact up to rounding.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from edgevit.core.errors import UnsupportedError
from edgevit.core.plugins import Rewrite
from edgevit.graph._recurrent import STEPS, emitter
from edgevit.program import constants, diagnostics, edit

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

# Each step is five to twenty operators.
MAX_STEPS: Final = 256


@dataclass(frozen=True, slots=True)
class _Layer:
    """What one layer is given, its directions side by side.

    Attributes:
        kind: key of STEPS.
        parameters: float32, (directions, width, inputs), (directions, width, hidden) and twice (directions, width).
        starts: first states, each (directions, batch, hidden).
    """

    kind: str
    parameters: tuple[torch.Tensor, ...]
    starts: tuple[torch.fx.Node, ...]


def apply(program: ExportedProgram) -> int:
    """Replace every recurrent layer.

    Raises:
        UnsupportedError: packed sequences, projections of the state, more than MAX_STEPS steps; names module and line.
    """
    changed = 0
    for node in list(program.graph_module.graph.nodes):
        target: Any = node.target
        if node.op != "call_function" or getattr(target, "namespace", "") != "aten":
            continue
        kind = target.overloadpacket.__name__
        if kind not in STEPS:
            continue
        results = _unrolled(program, node, kind)
        for reader in list(node.users):
            assert reader.target is operator.getitem
            edit.replace(program, reader, results[int(reader.args[1])])
        node.graph.erase_node(node)
        changed += 1
    return changed


def _unrolled(program: ExportedProgram, node: torch.fx.Node, kind: str) -> list[torch.fx.Node]:
    """The sequence, and the last state or states (layers * directions, batch, hidden)."""
    import torch

    aten, emit, target = torch.ops.aten, emitter(node), node.target
    schema: Any = getattr(target, "_schema", None)
    given = edit.bound(node, tuple(argument.name for argument in schema.arguments))
    if "batch_sizes" in given:
        raise _refused(node, "sequences of several lengths", "give it one padded tensor")
    turned = [1, 0, 2] if given["batch_first"] else None
    value = given["input"] if turned is None else emit(aten.permute.default, given["input"], turned)
    steps = edit.shape(value)[0]
    if steps > MAX_STEPS:
        raise _refused(node, f"{steps} steps", f"at most {MAX_STEPS} are written out; shorten the sequence")
    finals: list[tuple[torch.fx.Node, ...]] = []
    for layer in _layers(program, node, kind, given):
        value, last = _run(program, node, layer, value)
        finals.append(last)
    if turned is not None:
        value = emit(aten.permute.default, value, turned)
    states = list(zip(*finals, strict=True))
    return [value, *(s[0] if len(s) == 1 else emit(aten.cat.default, list(s), 0) for s in states)]


def _layers(program: ExportedProgram, node: torch.fx.Node, kind: str, given: dict[str, Any]) -> list[_Layer]:
    import torch

    directions, each = 2 if given["bidirectional"] else 1, 4 if given["has_biases"] else 2
    held = [constants.value(program, parameter) for parameter in given["params"]]
    known = [value for value in held if value is not None]
    if len(known) < len(held) or len(held) != each * directions * given["num_layers"]:
        raise _refused(node, "projections of its state or weights that are computed", "leave proj_size at 0")
    states = given["hx"] if isinstance(given["hx"], list | tuple) else [given["hx"]]
    layers = []
    for index in range(given["num_layers"]):
        own = known[each * directions * index : each * directions * (index + 1)]
        weights = [torch.stack(own[place::each]) for place in range(each)]
        none = torch.zeros(weights[0].shape[:2])
        first = directions * index
        starts = [
            emitter(node)(torch.ops.aten.slice.Tensor, state, 0, first, first + directions)
            for state in states
        ]
        layers.append(_Layer(kind, tuple([*weights, none, none][:4]), tuple(starts)))
    return layers


def _run(
    program: ExportedProgram, node: torch.fx.Node, layer: _Layer, value: torch.fx.Node
) -> tuple[torch.fx.Node, tuple[torch.fx.Node, ...]]:
    """One layer over (steps, batch, inputs): (steps, batch, directions * hidden), and the last states.

    A backward direction runs on the reversed sequence, so that both take their steps together.
    """
    import torch

    aten, emit, name = torch.ops.aten, emitter(node), constants.name_for(node)

    def hold(suffix: str, tensor: torch.Tensor) -> torch.fx.Node:
        return constants.add(program, f"{name}.{suffix}", tensor)

    weights_in, weights, bias_in, bias = layer.parameters
    steps, batch, _ = edit.shape(value)
    directions, width, hidden = weights.shape
    apart = layer.kind == "gru"  # which multiplies its second bias
    order = torch.arange(steps * directions).reshape(steps, directions)
    order[:, 1:] = order[:, 1:].flip(0)
    held_bias = hold("bias_in", (bias_in if apart else bias_in + bias).flatten())
    inputs = emit(aten.linear.default, value, hold("weights_in", weights_in.flatten(0, 1)), held_bias)
    if directions > 1:
        inputs = emit(aten.reshape.default, inputs, [steps, batch, directions, width])
        inputs = emit(aten.permute.default, inputs, [0, 2, 1, 3])
        inputs = emit(aten.reshape.default, inputs, [steps * directions, batch, width])
        inputs = emit(aten.index_select.default, inputs, 0, hold("order", order.flatten()))
    matrix, own_bias = hold("weights", weights.mT), hold("bias", bias[:, None])
    state, outputs = layer.starts, []
    for step in range(steps):
        row = emit(aten.slice.Tensor, inputs, 0, step * directions, (step + 1) * directions)
        product = emit(aten.matmul.default, state[0], matrix)
        if apart:
            product = emit(aten.add.Tensor, product, own_bias)
        state = STEPS[layer.kind](emit, row, product, state)
        outputs.append(state[0])
    joined = outputs[0] if steps == 1 else emit(aten.cat.default, outputs, 0)
    if directions > 1:
        joined = emit(aten.index_select.default, joined, 0, hold("order", order.flatten()))
        joined = emit(aten.reshape.default, joined, [steps, directions, batch, hidden])
        joined = emit(aten.permute.default, joined, [0, 2, 1, 3])
        joined = emit(aten.reshape.default, joined, [steps, batch, directions * hidden])
    return joined, state


def _refused(node: torch.fx.Node, what: str, hint: str) -> UnsupportedError:
    return UnsupportedError(f"{diagnostics.describe(node)} has {what}, which cannot be written out", hint)


REWRITE = Rewrite(
    summary="Recurrent layers (LSTM, GRU, RNN) as their steps (no target takes them from an exported program).",
    order=12,
    apply=apply,
)
