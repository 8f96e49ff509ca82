"""Write a plan that quantizes every activation: QuantizeLinear and DequantizeLinear around each operator.

What Qualcomm's HTP takes was found one operator at a time in its emulator (docs/npu.md):
- An operator whose inputs and outputs stand between these nodes, all of one width, is an integer kernel; of anything
  else it makes a float one, without a word. So an operator that computes in 16 bits gets its 8-bit inputs widened by
  a pair of DequantizeLinear and QuantizeLinear, and its result narrowed by another.
- A linear layer has to be a Gemm with its weight as (out, in); a MatMul loses 8 bits of a 16-bit input.
- The right side of a product of two 16-bit activations has to be symmetric int16; else its lower half is dropped.
- A Transpose gives what it reads, in one grid: a conversion goes in front of it. Between constants that were joined to
  activations and a conversion stands a product with 1.
- Numbers that shape an operator (limits of Clip, what Pad adds) stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from converters.onnx import bias as onnx_bias
from converters.onnx import narrow_gather, normalization, qdq_nodes
from converters.onnx.export import FloatConversion
from edgevit.core import metadata_keys
from edgevit.core.errors import UnsupportedError
from edgevit.core.plans import QuantPlan, SitePlan
from edgevit.core.quant_params import LIMITS, WIDE, QuantParams
from edgevit.core.runner import SiteTensors
from edgevit.core.widths import computed_grid

if TYPE_CHECKING:
    import onnx_ir as ir

# Operators that give values which they read; what they give has the grid of what they read.
_MOVING: Final = frozenset(
    [
        "Reshape",
        "Transpose",
        "Slice",
        "Concat",
        "Split",
        "Gather",
        "GatherElements",
        "GatherND",
        "Squeeze",
        "Unsqueeze",
        "Expand",
        "Tile",
        "Identity",
        "Pad",
        "Flatten",
        "DepthToSpace",
        "SpaceToDepth",
        "MaxPool",
        "ReduceMax",
    ]
)
_NORMS: Final = ("LayerNormalization", "InstanceNormalization")
_SHIFT: Final = 2  # the input of a norm that is added
# What these give in another grid is converted in front of them.
_CONVERTED_BEFORE: Final = ("Transpose",)
_IMAGE_AXES: Final = 4
_WRONG_ROWS: Final = range(9, 13)  # of maps that `_miscomputed` is about
# Operator -> the first of its inputs that shapes it, and is no number to compute with.
_SHAPED: Final = {"Clip": 1, "Pad": 1, "Resize": 1, "Reshape": 1, "Expand": 1, "Pow": 1}


@dataclass(slots=True)
class _State:
    graph: ir.Graph
    grids: dict[ir.Value, QuantParams] = field(default_factory=dict)
    done: qdq_nodes.Quantized = field(default_factory=dict)
    found: dict[str, SiteTensors] = field(default_factory=dict)


def quantize(model: ir.Model, conversion: FloatConversion, plan: QuantPlan) -> tuple[SiteTensors, ...]:
    """Edit `model` (a copy of the prepared one) in place; returns where each computing site of the plan is.

    Raises:
        UnsupportedError: a site of the plan is not in the model, or an operator has no place in the plan.
    """
    from onnx_ir.passes import common

    planned = {site.site: site for site in plan.sites}
    groups: dict[str, list[ir.Node]] = {}
    for node in model.graph:
        if any(_is_real(value) for value in node.outputs):
            groups.setdefault(node.metadata_props.get(metadata_keys.SITE, ""), []).append(node)
    # what only moves values may have been written in another way
    computed = (name for name, site in planned.items() if site.input != site.output)
    if lost := [name for name in computed if name not in groups]:
        raise UnsupportedError(
            f"the plan's site {lost[0]} is not in the ONNX model ({len(lost)} of {len(planned)} are missing)",
            "the plan was made for another graph: quantize this one again",
        )
    state = _State(model.graph)
    for node in list(model.graph):
        site = node.metadata_props.get(metadata_keys.SITE, "")
        if node.graph is None or not any(_is_real(value) for value in node.outputs):
            continue  # it was replaced with its site, or computes indices
        if site in planned and planned[site].weight is not None and site in conversion.weights:
            if node is groups[site][0]:
                _weighted(state, planned[site], groups[site], plan)
        elif node.op_type in _MOVING:
            _move(state, node, planned.get(site))
        elif site in planned and sum(n.op_type not in _MOVING for n in groups[site]) == 1:
            _compute(state, planned[site], node)
        else:
            raise UnsupportedError(
                f"{site or node.name}: {node.op_type} is one of several operators of one operation, between which "
                "nothing is planned",
                "write that operation with others, or leave the backend out",
            )
    for output in list(model.graph.outputs):
        _end(state, output)
    common.RemoveUnusedNodesPass()(model)
    there = {value.name for node in model.graph for value in node.outputs}
    there |= {value.name for value in model.graph.inputs}
    return tuple(site for site in state.found.values() if {site.input, site.output} <= there)


def _weighted(state: _State, site: SitePlan, nodes: Sequence[ir.Node], plan: QuantPlan) -> None:
    """A convolution, or a linear layer as a Gemm over rows."""
    import numpy as np
    import onnx_ir as ir

    assert site.input is not None and site.weight is not None and site.output is not None
    graph, main, last = state.graph, nodes[0], nodes[-1]
    x, old = main.inputs[0], last.outputs[0]
    assert x is not None
    integers = np.ascontiguousarray(np.asarray(plan.weight(site.site), np.int8))
    weight = qdq_nodes.dequantized(
        graph, f"{site.site}.weight", integers, site.weight, site.weight.axis, main
    )
    bias = onnx_bias.integer(graph, site, main, plan.tensors)
    real = _read(state, x, site.input, main)[1]
    taken = _own(state, x, site.input, main)
    if main.op_type == "Conv":
        for index, value in enumerate((real, weight, bias)):
            main.resize_inputs(max(index + 1, len(main.inputs)))
            main.replace_input_with(index, value)
        made = main
    else:
        rows, columns = _sizes(old, site)[:-1], _sizes(x, site)[-1]
        if len(rows) > 1:
            real = _reshaped(state, real, (math.prod(rows), columns), site.input, main, f"{site.site}.rows")
        product = ir.node("Gemm", [real, weight, *([] if bias is None else [bias])], {"transB": 1})
        product.name = f"{site.site}/Gemm"
        product.metadata_props[metadata_keys.SITE] = site.site
        out = product.outputs[0]
        out.name, out.type = f"{site.site}.gemm", old.type
        out.shape = ir.Shape((math.prod(rows), _sizes(old, site)[-1]))
        graph.insert_before(main, product)
        made = product
        if len(rows) > 1:
            wide = computed_grid(site)
            flat = qdq_nodes.quantized(graph, out, wide, state.done, None)[1]
            result = _reshaped(state, flat, _sizes(old, site), None, main, f"{site.site}.out")
            reshaped = result.producer()
            assert reshaped is not None
            made = reshaped
        new = made.outputs[0]
        new.type, new.shape = old.type, old.shape
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        name = old.name
        graph.remove([last] if last is main else [last, main], safe=True)
        new.name = name
    left = _give(state, made.outputs[0], site)
    state.found[site.site] = SiteTensors(site.site, _name(taken), _name(left))


def _compute(state: _State, site: SitePlan, node: ir.Node) -> None:
    """An operator without a weight: its activations and constants in the grids of the plan."""
    assert site.output is not None
    wanted = [params for params in (site.input, site.rhs) if params is not None]
    if (whole := normalization.of(node)) is not None:
        node, wanted = whole, wanted[:1]
    taken: list[ir.Value | None] = []
    first = _SHAPED.get(node.op_type, len(node.inputs))
    constants = [
        (index, value)
        for index, value in enumerate(node.inputs[:first])
        if value is not None and value.const_value is not None and _is_real(value)
    ]
    # behind those of the plan: numbers of the program, which the exporter made constants of
    given = len(site.constants)
    own = (*site.constants, *(_exact(value, node, index, site) for index, value in constants[given:]))
    activations = [
        (index, value)
        for index, value in enumerate(node.inputs)
        if value is not None and value.const_value is None and _is_real(value)
    ]
    for (index, value), params in zip(activations, _spread(wanted, activations), strict=True):
        node.replace_input_with(index, _read(state, value, params, node)[1])
        taken.append(_right(state, value, params, node) if index else _own(state, value, params, node))
    for (index, value), params in zip(constants, own, strict=True):
        node.replace_input_with(index, _constant(state, f"{site.site}.{index}", value, params, node))
    result = node.outputs[0]
    if _miscomputed(node, site) and site.input is not None:
        result = _through_row(state, node, site, site.input)
    left = _give(state, result, site)
    seen = [value for value in taken if value is not None]
    if seen and len(seen) == len(taken):
        rhs = _name(seen[1]) if site.rhs is not None and len(seen) > 1 else ""
        state.found[site.site] = SiteTensors(site.site, _name(seen[0]), _name(left), rhs)


def _miscomputed(node: ir.Node, site: SitePlan) -> bool:
    """Whether HTP would fuse this sigmoid with a convolution before and a product behind it, and get it wrong.

    Seen with onnxruntime-qnn 2.7.0 for v75: x sigmoid(x) behind a convolution, in 16 bits, on maps of 9 to 12 rows,
    is thousands of steps off, whatever their width and channels (`python -m bench.npu_operators --silu`).
    """
    shape = node.outputs[0].shape
    if (
        node.op_type != "Sigmoid"
        or computed_grid(site).dtype not in WIDE
        or shape is None
        or len(shape) != _IMAGE_AXES
    ):
        return False
    return int(shape.numpy()[2]) in _WRONG_ROWS


def _through_row(state: _State, node: ir.Node, site: SitePlan, read: QuantParams) -> ir.Value:
    """Put the same operator on one row of all values in the place of `node`, which HTP does not fuse; its result."""
    import onnx_ir as ir

    old, graph = node.outputs[0], state.graph
    shape = _sizes(old, site)
    real = node.inputs[0]
    assert real is not None
    flat = _reshaped(state, real, (1, math.prod(shape)), read, node, f"{site.site}.row")
    made = ir.node(node.op_type, [flat], name=f"{node.name}.row")
    made.metadata_props[metadata_keys.SITE] = site.site
    out = made.outputs[0]
    out.name, out.type, out.shape = f"{site.site}.of_row", old.type, ir.Shape((1, math.prod(shape)))
    graph.insert_before(node, made)
    _, given = qdq_nodes.quantized(graph, out, computed_grid(site), state.done, None)
    result = _reshaped(state, given, shape, None, node, f"{site.site}.image")
    result.type, result.shape = old.type, old.shape
    old.replace_all_uses_with(result, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    return result


def _spread(
    wanted: Sequence[QuantParams], activations: Sequence[tuple[int, ir.Value]]
) -> tuple[QuantParams, ...]:
    """The grid of each activation that an operator reads; one that it reads twice has one entry in the plan."""
    order = list(dict.fromkeys(value for _, value in activations))
    if len(order) > len(wanted):
        raise UnsupportedError(
            f"an operation reads {len(order)} activations, a plan has grids for two",
            "write that operation with others, or leave the backend out",
        )
    return tuple(wanted[order.index(value)] for _, value in activations)


def _move(state: _State, node: ir.Node, site: SitePlan | None) -> None:
    """What only moves values reads and gives the same grid; what is no site comes of how the exporter writes one."""
    first = _SHAPED.get(node.op_type, len(node.inputs))
    read = [value for value in node.inputs[:first] if value is not None and _is_real(value)]
    own = [state.grids[value] for value in read if value in state.grids]
    # The grid of what it reads goes before that of the plan: a rewrite of the target may have renamed moves.
    params = own[0] if own else None if site is None else site.output
    if params is None:
        return  # of constants alone
    if node.op_type == "Pad" and site is not None and site.output is not None and site.output != site.input:
        params = site.output  # which covers the number that is padded with
    for part in narrow_gather.split(node, 2 if params.dtype in WIDE else 1):
        _keep(state, part, params)


def _keep(state: _State, node: ir.Node, params: QuantParams) -> None:
    """Let `node`, which only moves values, read and give `params`."""
    first = _SHAPED.get(node.op_type, len(node.inputs))
    for index, value in enumerate(node.inputs[:first]):
        if value is None or not _is_real(value):
            continue
        if value.const_value is not None:
            real = _constant(state, f"{node.name}.{index}", value, params, node)
        else:
            real = _read(state, value, params, node)[1]
        node.replace_input_with(index, real)
    for value in node.outputs:
        if _is_real(value) and (value.uses() or value.is_graph_output()):
            _attach(state, value, params, params)


def _read(state: _State, value: ir.Value, params: QuantParams, reader: ir.Node) -> tuple[ir.Value, ir.Value]:
    """Integer and real form of `value` in the grid `params`, which may be another than its own."""
    own = state.grids.get(value)
    if own is None or own == params:
        return qdq_nodes.quantized(state.graph, value, params, state.done, reader)
    moved = value.producer()
    if moved is not None and moved.op_type in _CONVERTED_BEFORE:
        return _transposed(state, moved, params, reader)
    _, real = state.done[value, own]
    if moved is not None and _joins_constants(moved) and (real, params) not in state.done:
        state.done[real, params] = qdq_nodes.quantized(
            state.graph, _times_one(state, real, own, moved), params, state.done, reader
        )
    return qdq_nodes.quantized(state.graph, real, params, state.done, reader)


def _joins_constants(node: ir.Node) -> bool:
    """Whether `node` gives constants beside what it reads."""
    constant = [value is not None and _is_real(value) and _is_constant(value) for value in node.inputs]
    return node.op_type == "Pad" or (node.op_type == "Concat" and any(constant))


def _is_constant(value: ir.Value) -> bool:
    """Whether `value` is a constant, or one behind DequantizeLinear."""
    maker = value.producer()
    source = maker.inputs[0] if maker is not None and maker.op_type == "DequantizeLinear" else value
    return source is not None and source.const_value is not None


def _times_one(state: _State, real: ir.Value, params: QuantParams, node: ir.Node) -> ir.Value:
    """`real` times 1, on its own grid, which is exact.

    HTP moves a conversion in front of what joins constants with activations, and gets the constants wrong: a product of
    int16 behind it is up to 24,000 steps off (onnxruntime-qnn 2.7.0, v75). It does not move it over a product.
    """
    import numpy as np
    import onnx_ir as ir

    name, (low, high) = f"{node.name}.times_one", LIMITS[params.dtype]
    lowest = max(low, 0)
    grid = QuantParams(params.dtype, (1 / (high - lowest),), (lowest,))
    producer = real.producer()
    assert producer is not None, "behind DequantizeLinear"
    made = ir.node("Mul", [real], name=f"{name}/Mul")
    out = made.outputs[0]
    out.name, out.type, out.shape = name, real.type, real.shape
    state.graph.insert_after(producer, made)
    one = qdq_nodes.constant(state.graph, f"{name}.one", np.ones(1, np.float32), grid, made)
    made.resize_inputs(2)
    made.replace_input_with(1, one)
    return qdq_nodes.quantized(state.graph, out, params, state.done, None)[1]


def _transposed(
    state: _State, node: ir.Node, params: QuantParams, reader: ir.Node
) -> tuple[ir.Value, ir.Value]:
    """The result of a Transpose in another grid: its input converted and then transposed.

    HTP refuses the conversion behind the Transpose (onnxruntime-qnn 2.7.0, v75).
    """
    import onnx_ir as ir

    value, given = node.outputs[0], node.inputs[0]
    assert given is not None
    if (value, params) in state.done:
        return state.done[value, params]
    _, real = qdq_nodes.quantized(state.graph, given, params, state.done, reader)
    made = ir.node(
        node.op_type, [real, *node.inputs[1:]], node.attributes.copy(), name=f"{node.name}.{params.dtype}"
    )
    out = made.outputs[0]
    out.name, out.type, out.shape = f"{value.name}.{params.dtype}", value.type, value.shape
    state.graph.insert_before(reader, made)
    state.done[value, params] = qdq_nodes.quantized(state.graph, out, params, state.done, None)
    return state.done[value, params]


def _own(state: _State, value: ir.Value, params: QuantParams, reader: ir.Node) -> ir.Value:
    """The integers of `value` in its own grid: HTP fuses a conversion into its reader, where nobody can look at it.

    Of a Transpose behind a conversion those in the grid `params`, which are what it gives.
    """
    moved = value.producer()
    converted = moved is not None and moved.op_type in _CONVERTED_BEFORE
    return _read(state, value, params if converted else state.grids.get(value, params), reader)[0]


def _right(state: _State, value: ir.Value, params: QuantParams, reader: ir.Node) -> ir.Value | None:
    """The same of a second operand; HTP gives out no int16 behind a Transpose.

    There it is what the Transpose reads, its last two axes swapped; None where it swaps others.
    """
    moved = value.producer()
    own = state.grids.get(value, params)
    if moved is None or moved.op_type not in _CONVERTED_BEFORE or own == params:
        return _own(state, value, params, reader)
    order, given = list(moved.attributes.get_ints("perm", ())), moved.inputs[0]
    last = len(order) - 1
    dequantize = None if given is None else given.producer()
    if dequantize is None or order != [*range(last - 1), last, last - 1]:
        return None
    return dequantize.inputs[0]


def _give(state: _State, value: ir.Value, site: SitePlan) -> ir.Value:
    """Quantize a result as wide as it is computed, then to its own grid; the integer form of that."""
    assert site.output is not None
    return _attach(state, value, computed_grid(site), site.output)


def _attach(state: _State, value: ir.Value, computed: QuantParams, final: QuantParams) -> ir.Value:
    """Quantize `value` to the first grid, then to the second; who reads it asks `_read` for the form it wants."""
    integer, real = qdq_nodes.quantized(state.graph, value, computed, state.done, None)
    if final != computed:
        integer, real = qdq_nodes.quantized(state.graph, real, final, state.done, None)
    state.grids[value] = final
    state.done[value, final] = (integer, real)
    return integer


def _end(state: _State, output: ir.Value) -> None:
    """A graph output gives the real values of its grid."""
    params = state.grids.get(output)
    if params is not None:
        qdq_nodes.take_place(state.graph, output, state.done[output, params][1], "real")


def _constant(state: _State, name: str, value: ir.Value, params: QuantParams, reader: ir.Node) -> ir.Value:
    import numpy as np

    assert value.const_value is not None
    real = np.asarray(value.const_value.numpy(), np.float32)
    return qdq_nodes.constant(state.graph, name, real, params, reader)


def _exact(value: ir.Value, node: ir.Node, index: int, site: SitePlan) -> QuantParams:
    """A grid on which a number of the program stands exactly, as its highest or lowest integer.

    It is as wide as the operator computes: of a narrower constant HTP would make a float operator. Only the gain of a
    norm has 8 bits in any case, and its shift 32.

    Raises:
        UnsupportedError: it is no single number, and nothing is planned for it.
    """
    import numpy as np

    assert value.const_value is not None
    real = np.asarray(value.const_value.numpy(), np.float64)
    if real.size and (real != real.flat[0]).any():
        raise UnsupportedError(
            f"site {site.site}: {node.op_type} reads a constant that the plan does not know",
            "write that operation with others, or leave the backend out",
        )
    number = float(real.flat[0]) if real.size else 0.0
    if node.op_type in _NORMS and index == _SHIFT:
        step = site.input.scale[0] if site.input is not None else 1.0
        return QuantParams("int32", (max(step / 255, abs(number) / 2**30),), (0,))
    dtype = "uint8" if node.op_type in _NORMS else computed_grid(site).dtype
    low, high = LIMITS[dtype]
    # the zero point is at the other end: a negative number is the lowest integer
    return QuantParams(dtype, ((abs(number) or 1.0) / (high - low),), (high if number < 0 else low,))


def _reshaped(
    state: _State,
    real: ir.Value,
    shape: tuple[int, ...],
    params: QuantParams | None,
    reader: ir.Node,
    name: str,
) -> ir.Value:
    """`real` in another shape; with `params` on its grid again behind that."""
    import numpy as np
    import onnx_ir as ir

    sizes = qdq_nodes.initializer(state.graph, f"{name}.shape", np.asarray(shape, np.int64))
    node = ir.node("Reshape", [real, sizes], name=f"{name}/Reshape")
    out = node.outputs[0]
    out.name, out.type, out.shape = name, real.type, ir.Shape(shape)
    state.graph.insert_before(reader, node)
    return out if params is None else qdq_nodes.quantized(state.graph, out, params, state.done, None)[1]


def _sizes(value: ir.Value, site: SitePlan) -> tuple[int, ...]:
    if value.shape is None:
        raise UnsupportedError(
            f"site {site.site}: the shapes of its input and output are not known", "leave onnx out of --to"
        )
    return tuple(int(size) for size in value.shape.numpy())


def _is_real(value: ir.Value | None) -> bool:
    import onnx_ir as ir

    return value is not None and value.dtype in (None, ir.DataType.FLOAT)


def _name(value: ir.Value) -> str:
    assert value.name is not None
    return value.name
