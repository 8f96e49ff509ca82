"""Write a QuantPlan into an ONNX model with standard operators that ONNX Runtime turns into integer kernels.

The forms were found by looking at ONNX Runtime's optimized graph:
- Conv between DequantizeLinear nodes, followed by QuantizeLinear, becomes QLinearConv; without the
  quantized output it stays float.
- MatMul between DequantizeLinear nodes becomes MatMulIntegerToFloat for any rank of the input, but
  only if the Add behind it cannot be taken for the bias of a Gemm: a bias of rank 3 prevents that.
- A DequantizeLinear is duplicated for each of its readers, so that x * sigmoid(x) is no longer seen as
  one operator; a Sum of one input in between keeps it (12 % of a MobileViT's time).
- An int8 weight of a float product (w8) must not stand behind DequantizeLinear: with MatMul that
  becomes MatMulNBits, which quantizes the activations at run time (46 dB instead of exact), and with
  Conv it is computed anew in each run (twice the time of the float file on a MobileViT). Cast and
  Mul say the same and are folded once, at load.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final

from converters import _onnx_nodes
from converters._onnx_export import SITE_KEY, Prepared, kind_of
from edgevit.core.errors import UnsupportedError
from edgevit.core.types import Grid, QuantPlan, SitePlan, SiteTensors

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

    from converters._onnx_nodes import Quantized

_SAME_WEIGHT_DB: Final = 10.0  # rounding to 8 bits leaves about 40 dB, another layer's weight none


def site_tensors(model: ir.Model, weighted: Collection[str]) -> tuple[SiteTensors, ...]:
    """Float input and output of every site that has a weight, in execution order."""
    return tuple(
        SiteTensors(site, _name(main.inputs[0]), _name(last.outputs[0]))
        for site, (main, last) in _nodes(model, weighted).items()
    )


def quantize(model: ir.Model, prepared: Prepared, plan: QuantPlan) -> tuple[SiteTensors, ...]:
    """Edit `model` (a copy of the prepared one) in place; returns where each site of the plan is.

    Raises:
        UnsupportedError: a site of the plan is not in the model, or its weight is not that site's.
    """
    planned = {site.site: site for site in plan.sites}
    other = [site.site for site in plan.sites if site.weight is None]
    if other:
        raise UnsupportedError(f"the onnx target quantizes linear layers and convolutions, not {other[0]}")
    nodes = _nodes(model, prepared.weights)
    lost = [name for name in planned if name not in nodes]
    if lost:
        raise UnsupportedError(
            f"the plan's site {lost[0]} is not in the ONNX model ({len(lost)} of {len(planned)} are missing)",
            "the plan was made for another graph: quantize this one again",
        )
    done: Quantized = {}
    found: dict[str, SiteTensors] = {}
    for name, (main, last) in nodes.items():  # in execution order: a producer's grid is known to its readers
        if name in planned:
            integers = _weight(planned[name], plan, prepared.weights[name])
            found[name] = _place(model, planned[name], main, last, integers, plan.tensors, done)
    for _, real in done.values():
        _onnx_nodes.share(model.graph, real, {n for pair in nodes.values() for n in pair})
    return tuple(found[name] for name in planned)


def _nodes(model: ir.Model, weighted: Collection[str]) -> dict[str, tuple[ir.Node, ir.Node]]:
    """Site with a weight -> its Conv or MatMul, and the last node of it (the Add of a bias, else the same)."""
    found: dict[str, tuple[ir.Node, ir.Node]] = {}
    for node in model.graph:
        site = node.metadata_props.get(SITE_KEY)
        if site is not None and site in weighted:
            found[site] = (found[site][0], node) if site in found else (node, node)
    return found


def _name(value: ir.Value | None) -> str:
    assert value is not None and value.name is not None
    return value.name


def _weight(site: SitePlan, plan: QuantPlan, real: NDArray[np.float32]) -> NDArray[np.int8]:
    """The rounded weight, checked to be a rounding of this site's float weight."""
    import numpy as np

    assert site.weight is not None
    integers = np.asarray(plan.tensors[f"{site.site}.weight"])
    hint = "the plan was made for other weights: quantize this model again"
    if integers.shape != real.shape or integers.dtype != np.int8:
        raise UnsupportedError(
            f"site {site.site}: the plan has {integers.dtype} {integers.shape}, not int8 {real.shape}",
            hint,
        )
    scale = np.asarray(site.weight.scale, np.float32)
    wide = scale.reshape([-1 if i == site.weight.axis else 1 for i in range(real.ndim)])
    noise = float(np.square(integers * wide - real, dtype=np.float64).sum())
    signal = float(np.square(real, dtype=np.float64).sum())
    if signal > 0 and noise > signal * 10 ** (-_SAME_WEIGHT_DB / 10):
        decibels = 10 * math.log10(signal / noise)
        raise UnsupportedError(
            f"site {site.site}: the plan's weight is not the model's ({decibels:.1f} dB)", hint
        )
    return integers


def _place(
    model: ir.Model,
    site: SitePlan,
    main: ir.Node,
    last: ir.Node,
    integers: NDArray[np.int8],
    tensors: Mapping[str, NDArray[np.generic]],
    done: Quantized,
) -> SiteTensors:
    import numpy as np

    assert site.weight is not None
    graph, linear = model.graph, kind_of(site.site) == "linear"
    x = main.inputs[0]
    assert x is not None
    taps = [_name(x), _name(last.outputs[0])]
    if site.input is not None:
        integer, real = _onnx_nodes.quantized(graph, x, site.input, done, main)
        main.replace_input_with(0, real)
        taps[0] = _name(integer)
    axis = site.weight.axis
    stored = np.ascontiguousarray(integers.T) if linear else integers
    stored_axis = None if axis is None else (1 - axis if linear else axis)
    behind = _onnx_nodes.folded if site.input is None else _onnx_nodes.dequantized
    main.replace_input_with(1, behind(graph, f"{site.site}.weight", stored, site.weight, stored_axis, main))
    if site.bias == "int32":
        _integer_bias(graph, site, main, last, tensors)
    out = last.outputs[0]
    if site.input is not None and linear and last is not main:
        out = _keep_from_gemm(graph, site.site, main, last)
    if site.output is not None:
        readers = list(out.uses())
        integer, real = _onnx_nodes.quantized(graph, out, site.output, done, None)
        for node, index in readers:
            node.replace_input_with(index, real)
        if out.is_graph_output():
            _onnx_nodes.take_place(graph, out, real, "real")
        done[(real, site.output)] = (integer, real)
        taps[1] = _name(integer)
    return SiteTensors(site.site, taps[0], taps[1])


def _integer_bias(
    graph: ir.Graph, site: SitePlan, main: ir.Node, last: ir.Node, tensors: Mapping[str, NDArray[np.generic]]
) -> None:
    """Put the plan's int32 bias, on the grid input scale * weight scale, in the place of the float one."""
    import numpy as np

    assert site.input is not None and site.weight is not None
    integers = np.asarray(tensors[f"{site.site}.bias"], np.int32)
    scale = np.float32(site.input.scale[0]) * np.asarray(site.weight.scale, np.float32)
    grid = Grid("int32", tuple(float(s) for s in scale), (0,) * len(scale), 0 if len(scale) > 1 else None)
    if kind_of(site.site) == "conv":
        main.resize_inputs(3)
        main.replace_input_with(
            2, _onnx_nodes.dequantized(graph, f"{site.site}.bias", integers, grid, grid.axis, main)
        )
    elif last is not main:
        index = next(i for i, v in enumerate(last.inputs) if v is not main.outputs[0])
        last.replace_input_with(
            index, _onnx_nodes.initializer(graph, f"{site.site}.bias", integers.astype(np.float32) * scale)
        )


def _keep_from_gemm(graph: ir.Graph, site: str, main: ir.Node, last: ir.Node) -> ir.Value:
    """Give the bias at least rank 3, and take the extra axis of a rank-2 output away again."""
    import numpy as np
    import onnx_ir as ir

    index = next(i for i, v in enumerate(last.inputs) if v is not main.outputs[0])
    bias = last.inputs[index]
    old = last.outputs[0]
    if bias is None or bias.const_value is None or old.shape is None:
        raise UnsupportedError(f"site {site}: its bias is not a constant")
    rank = max(3, len(old.shape))
    wide = bias.const_value.numpy().reshape([1] * (rank - 1) + [-1])
    for position, value in enumerate(
        (main.outputs[0], _onnx_nodes.initializer(graph, f"{site}.bias.wide", wide))
    ):
        last.replace_input_with(position, value)
    if len(old.shape) == rank:
        return old
    shape = _onnx_nodes.initializer(graph, f"{site}.shape", np.asarray(old.shape.numpy(), np.int64))
    narrow = ir.node("Reshape", [old, shape], name=f"{site}/Reshape", metadata_props={SITE_KEY: site})
    new = narrow.outputs[0]
    new.type, new.shape = old.type, old.shape
    graph.insert_after(last, narrow)
    for node, position in [use for use in old.uses() if use.node is not narrow]:
        node.replace_input_with(position, new)
    old.shape = ir.Shape([1, *old.shape])
    _onnx_nodes.take_place(graph, old, new, "wide")
    return new
