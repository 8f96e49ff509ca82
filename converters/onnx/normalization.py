"""x / |x| as one operator, LpNormalization.

    torch.nn.functional.normalize(x) = x / max(|x|, eps)          |x| the Euclidean norm over one axis

PyTorch computes it in three operators (four with expand). HTP makes one of ReduceL2 and Div by itself, which it then
does not compile; LpNormalization it computes to a step in 8 and 16 bits, over any axis (onnxruntime-qnn 2.7.0, v75).
An eps that is next to nothing only keeps vectors of zeros from dividing by 0, and LpNormalization gives 0 there too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import onnx_ir as ir

_QDQ: Final = ("QuantizeLinear", "DequantizeLinear")
_TINY: Final = 1e-6


def of(node: ir.Node) -> ir.Node | None:
    """LpNormalization in the place of a Div by its dividend's norm, between integers or not; None for any other.

    The norm's operators stay where they are, for whoever else reads them.
    """
    import onnx_ir as ir

    if node.op_type != "Div":
        return None
    dividend, divisor = (_unquantized(value) for value in node.inputs)
    norm = _norm_behind(divisor)
    if (
        norm is None
        or _unquantized(norm.inputs[0]) is not dividend
        or not norm.attributes.get_int("keepdims", 1)
    ):
        return None
    axes = norm.inputs[1] if len(norm.inputs) > 1 else None
    if axes is None or axes.const_value is None or axes.const_value.size != 1:
        return None
    along = int(axes.const_value.numpy().item())
    made = ir.node("LpNormalization", [node.inputs[0]], {"axis": along, "p": 2}, name=node.name)
    made.metadata_props.update(node.metadata_props)
    old, out = node.outputs[0], made.outputs[0]
    out.type, out.shape, name = old.type, old.shape, old.name
    assert node.graph is not None
    node.graph.insert_before(node, made)
    old.replace_all_uses_with(out, replace_graph_outputs=True)
    node.graph.remove(node, safe=True)
    out.name = name
    return made


def _norm_behind(value: ir.Value | None) -> ir.Node | None:
    """The ReduceL2 that gives `value`, with an Expand and a limit of next to nothing behind it at most."""
    import numpy as np

    while value is not None and (maker := value.producer()) is not None:
        if maker.op_type == "ReduceL2":
            return maker
        lowest = maker.inputs[1] if maker.op_type == "Clip" and len(maker.inputs) == 2 else None
        limit = None if lowest is None else lowest.const_value
        if maker.op_type != "Expand" and (limit is None or np.any(limit.numpy() > _TINY)):
            return None
        value = _unquantized(maker.inputs[0])
    return None


def _unquantized(value: ir.Value | None) -> ir.Value | None:
    """What `value` was before it was quantized."""
    while value is not None and (maker := value.producer()) is not None and maker.op_type in _QDQ:
        value = maker.inputs[0]
    return value
