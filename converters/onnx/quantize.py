"""Write a QuantPlan into an ONNX model with standard operators that ONNX Runtime turns into integer kernels.

The forms were found by looking at ONNX Runtime's optimized graph:
- Conv between DequantizeLinear nodes, followed by QuantizeLinear, becomes QLinearConv; without the
  quantized output it stays float.
- Gemm between DequantizeLinear nodes, its bias in int32 among them, becomes QGemm with a float output
  (`gemm`).
- A DequantizeLinear is duplicated for each of its readers, so that x * sigmoid(x) is no longer seen as
  one operator; a Sum of one input in between keeps it (12 % of a MobileViT's time).
- An int8 weight of a float product (w8) must not stand behind DequantizeLinear: with MatMul that
  becomes MatMulNBits, which quantizes the activations at run time (46 dB instead of exact), and with
  Conv it is computed anew in each run (twice the time of the float file on a MobileViT). Cast and
  Mul say the same and are folded once, at load. int4 weights (w4) are stored in the same way, in blocks
  of input channels: the product is float, with its speed, and a scale per block is float16.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final

from converters.onnx import bias as onnx_bias
from converters.onnx import concat, dynamic, gemm, qdq_nodes, silu
from converters.onnx.export import FloatConversion
from edgevit.core import metadata_keys
from edgevit.core.decibels import sqnr_db
from edgevit.core.errors import UnsupportedError
from edgevit.core.plans import QuantPlan, SitePlan
from edgevit.core.runner import SiteTensors
from edgevit.program.sites import kind_of

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

    from converters.onnx.dynamic import Entered
    from converters.onnx.gemm import Matrices
    from converters.onnx.qdq_nodes import Quantized

_SAME_WEIGHT_DB: Final = 3.0  # rounding to 4 bits leaves 10 dB and more, another layer's weight none
FIRST_INT4_OPSET: Final = 21


def site_tensors(model: ir.Model, weighted: Collection[str]) -> tuple[SiteTensors, ...]:
    """Float input and output of every site that has a weight, in execution order."""
    return tuple(
        SiteTensors(site, _name(main.inputs[0]), _name(last.outputs[0]))
        for site, (main, last) in _nodes(model, weighted).items()
    )


def quantize(model: ir.Model, prepared: FloatConversion, plan: QuantPlan) -> tuple[SiteTensors, ...]:
    """Edit `model` (a copy of the prepared one) in place; returns where each site of the plan is.

    Raises:
        UnsupportedError: a site of the plan is not in the model, or its weight is not that site's.
    """
    planned = {site.site: site for site in plan.sites}
    nodes = _nodes(model, prepared.weights)
    lost = [name for name in planned if name not in nodes]
    if lost:
        raise UnsupportedError(
            f"the plan's site {lost[0]} is not in the ONNX model ({len(lost)} of {len(planned)} are missing)",
            "the plan was made for another graph: quantize this one again",
        )
    done: Quantized = {}
    entered: Entered = {}
    matrices: Matrices = {}
    found: dict[str, SiteTensors] = {}
    for name, (main, last) in nodes.items():  # in execution order: a producer's grid is known to its readers
        if name in planned:
            integers = _weight(planned[name], plan, prepared.weights[name])
            found[name] = _place(
                model, planned[name], main, last, integers, plan.tensors, done, entered, matrices
            )
    concat.join_integers(model.graph, done)
    gated = set()
    reals = {_name(integer): real for integer, real in done.values()}
    for site in plan.sites:
        if site.sigmoid is not None:
            real = reals[found[site.site].output]
            silu.quantize_sigmoid(model.graph, site.site, real, site.sigmoid, done)
            gated.add(real)
    for real in dict.fromkeys(real for _, real in done.values()):
        if real not in gated:
            qdq_nodes.share(model.graph, real, {n for pair in nodes.values() for n in pair})
        maker = real.producer()
        if maker is not None and not real.uses() and not real.is_graph_output():
            model.graph.remove(maker, safe=True)
    return tuple(found[name] for name in planned)


def _nodes(model: ir.Model, weighted: Collection[str]) -> dict[str, tuple[ir.Node, ir.Node]]:
    """Site with a weight -> its Conv or MatMul, and the last node of it (the Add of a bias, else the same)."""
    found: dict[str, tuple[ir.Node, ir.Node]] = {}
    for node in model.graph:
        site = node.metadata_props.get(metadata_keys.SITE)
        if site is not None and site in weighted:
            found[site] = (found[site][0], node) if site in found else (node, node)
    return found


def _name(value: ir.Value | None) -> str:
    assert value is not None and value.name is not None
    return value.name


def _weight(site: SitePlan, plan: QuantPlan, real: NDArray[np.float32]) -> NDArray[np.int8]:
    """The rounded weight, confirmed to be a rounding of the float weight that the model has at this site."""
    import numpy as np

    noise = float(np.square(plan.real_weight(site) - real, dtype=np.float64).sum())
    signal = float(np.square(real, dtype=np.float64).sum())
    if signal > 0 and noise > signal * 10 ** (-_SAME_WEIGHT_DB / 10):
        decibels = sqnr_db(signal, noise)
        raise UnsupportedError(
            f"site {site.site}: the plan's weight is not the model's ({decibels:.1f} dB)",
            "the plan was made for other weights: quantize this model again",
        )
    return np.asarray(plan.weight(site.site), np.int8)


def _place(
    model: ir.Model,
    site: SitePlan,
    main: ir.Node,
    last: ir.Node,
    integers: NDArray[np.int8],
    tensors: Mapping[str, NDArray[np.generic]],
    done: Quantized,
    entered: Entered,
    matrices: Matrices,
) -> SiteTensors:
    import numpy as np

    assert site.weight is not None
    graph, linear = model.graph, kind_of(site.site) == "linear"
    x = main.inputs[0]
    assert x is not None
    taps = [_name(x), _name(last.outputs[0])]
    axis = site.weight.axis
    stored = np.ascontiguousarray(integers.T) if linear else integers
    stored_axis = None if axis is None else (1 - axis if linear else axis)
    if site.input is not None:
        integer, real = qdq_nodes.quantized(graph, x, site.input, done, main)
        taps[0] = _name(integer)
        weight = qdq_nodes.dequantized(graph, f"{site.site}.weight", stored, site.weight, stored_axis, main)
        bias = onnx_bias.integer(graph, site, main, tensors)
        if linear:
            last = gemm.multiply(graph, site.site, (main, last), integer, weight, bias, matrices)
        else:
            for index, value in enumerate((real, weight, bias)):
                main.resize_inputs(max(index + 1, len(main.inputs)))
                main.replace_input_with(index, value)
    elif site.dynamic is not None:
        product = dynamic.multiply(
            graph, site.site, main, stored, site.weight, site.dynamic.normalized, entered
        )
        main, last = product, product if last is main else last
    else:
        weight = qdq_nodes.folded(graph, f"{site.site}.weight", stored, site.weight, stored_axis, main)
        main.replace_input_with(1, weight)
    if site.input is None:
        last = onnx_bias.corrected(graph, site, main, last, tensors)
    out = last.outputs[0]
    if site.output is not None:
        readers = list(out.uses())
        integer, real = qdq_nodes.quantized(graph, out, site.output, done, None)
        for node, index in readers:
            node.replace_input_with(index, real)
        if out.is_graph_output():
            qdq_nodes.take_place(graph, out, real, "real")
        done[(real, site.output)] = (integer, real)
        taps[1] = _name(integer)
    return SiteTensors(site.site, taps[0], taps[1])
