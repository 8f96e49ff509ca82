"""The bias of a site: on the plan's integer grid, corrected by the plan, or of a rank that no Gemm takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from converters import _onnx_nodes
from converters._onnx_export import SITE_KEY, kind_of
from edgevit.core.errors import UnsupportedError
from edgevit.core.plans import Grid, SitePlan

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray


def integer(
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


def corrected(
    graph: ir.Graph,
    site: SitePlan,
    main: ir.Node,
    last: ir.Node,
    channels: int,
    tensors: Mapping[str, NDArray[np.generic]],
) -> ir.Node:
    """Give the site the plan's float32 bias, if there is one, also where the layer has none.

    Args:
        main, last: the node that multiplies, and the site's last one.
        channels: that go out.

    Returns:
        The site's last node.
    """
    import numpy as np
    import onnx_ir as ir

    value = tensors.get(f"{site.site}.bias")
    if value is None:
        return last
    if site.bias != "float32" or value.dtype != np.float32 or value.shape != (channels,):
        raise UnsupportedError(
            f"site {site.site}: its {site.bias} bias is {value.dtype} {value.shape}, not float32 ({channels},)",
            "make the plan again",
        )
    bias = _onnx_nodes.initializer(graph, f"{site.site}.bias", value)
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
    node = ir.node("Add", [old, bias], name=f"{site.site}/Add", metadata_props={SITE_KEY: site.site})
    new = node.outputs[0]
    new.type, new.shape = old.type, old.shape
    graph.insert_after(main, node)
    for reader, position in readers:
        reader.replace_input_with(position, new)
    _onnx_nodes.take_place(graph, old, new, "product")
    return node


def keep_from_gemm(graph: ir.Graph, site: str, main: ir.Node, last: ir.Node) -> ir.Value:
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
