"""The bias of a site: on the plan's integer grid, or in float as the plan corrected it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from converters.onnx import qdq_nodes
from edgevit.core import metadata_keys
from edgevit.core.plans import SitePlan, tensor_name
from edgevit.core.quant_params import QuantParams

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray


def integer(
    graph: ir.Graph, site: SitePlan, main: ir.Node, tensors: Mapping[str, NDArray[np.generic]]
) -> ir.Value | None:
    """The plan's int32 bias, in steps of input scale * weight scale, behind DequantizeLinear.

    None where the layer has none, though torch.onnx gives every Conv one: of zeros.
    """
    import numpy as np

    assert site.input is not None and site.weight is not None
    if site.bias == "none":
        return None
    integers = np.asarray(tensors[tensor_name(site.site, "bias")], np.int32)
    scale = np.float32(site.input.scale[0]) * np.asarray(site.weight.scale, np.float32)
    params = QuantParams(
        "int32", tuple(float(s) for s in scale), (0,) * len(scale), 0 if len(scale) > 1 else None
    )
    return qdq_nodes.dequantized(graph, f"{site.site}.bias", integers, params, params.axis, main)


def corrected(
    graph: ir.Graph,
    site: SitePlan,
    main: ir.Node,
    last: ir.Node,
    tensors: Mapping[str, NDArray[np.generic]],
) -> ir.Node:
    """Give the site the plan's float32 bias, if there is one, also where the layer has none.

    Args:
        main, last: the node that multiplies, and the site's last one.

    Returns:
        The site's last node.
    """
    import onnx_ir as ir

    value = tensors.get(tensor_name(site.site, "bias"))
    if value is None:
        return last
    bias = qdq_nodes.initializer(graph, f"{site.site}.bias", value)
    if main.op_type == "Conv":
        main.resize_inputs(3)
        main.replace_input_with(2, bias)
        return main
    if last is not main:
        index = next(i for i, v in enumerate(last.inputs) if v is not main.outputs[0])
        last.replace_input_with(index, bias)
        return last
    old = main.outputs[0]
    readers = list(old.uses())
    node = ir.node(
        "Add", [old, bias], name=f"{site.site}/Add", metadata_props={metadata_keys.SITE: site.site}
    )
    new = node.outputs[0]
    new.type, new.shape = old.type, old.shape
    graph.insert_after(main, node)
    for reader, position in readers:
        reader.replace_input_with(position, new)
    qdq_nodes.take_place(graph, old, new, "product")
    return node
