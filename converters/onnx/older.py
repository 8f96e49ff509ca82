"""From operator set 18, the oldest that torch.onnx writes, to 17, which compilers of other vendors still ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from converters.onnx.qdq_nodes import initializer
from edgevit.core.errors import UnsupportedError

if TYPE_CHECKING:
    import onnx_ir as ir

OPSET: Final = 17
_AXES_AS_INPUT: Final = frozenset(
    f"Reduce{name}" for name in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
)
# Attributes that came with 18, and the value with which they say nothing new.
_NEW: Final[Mapping[str, Mapping[str, object]]] = {
    "Resize": {"antialias": 0, "keep_aspect_ratio_policy": "stretch"},
    "ScatterElements": {},
    "ScatterND": {},
}
_HINT: Final = "give a newer onnx.opset"


def to_17(model: ir.Model, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Edit `model`, of operator set 18, in place.

    Args:
        shapes: of its tensors, by name.

    Raises:
        UnsupportedError: an operator, or what is asked of one, that 17 does not have; it is named.
    """
    import onnx

    for node in model.graph:
        if node.op_type in _AXES_AS_INPUT:
            _axes_as_attribute(node)
        elif node.op_type == "Split" and "num_outputs" in node.attributes:
            _sizes_of_parts(model.graph, node, shapes)
        elif node.op_type == "Pad" and len(node.inputs) > 3 and node.inputs[3] is not None:
            _all_pads(model.graph, node, shapes)
        for name, nothing in _NEW.get(node.op_type, {}).items():
            found = node.attributes.pop(name, None)
            if found is not None and found.value != nothing:
                raise UnsupportedError(f"onnx.opset=17 has no {name} for {node.op_type} ({node.name})", _HINT)
        if node.op_type == "Resize" and "axes" in node.attributes:
            raise UnsupportedError(f"onnx.opset=17 has no axes for Resize ({node.name})", _HINT)
        try:
            onnx.defs.get_schema(node.op_type, OPSET, node.domain)
        except onnx.defs.SchemaError as error:
            raise UnsupportedError(
                f"onnx.opset=17 has no operator {node.op_type} ({node.name})", _HINT
            ) from error
    model.opset_imports[""] = OPSET


def _axes_as_attribute(node: ir.Node) -> None:
    import onnx_ir as ir

    node.attributes.pop("noop_with_empty_axes", None)
    if len(node.inputs) < 2 or node.inputs[1] is None:
        return
    axes = node.inputs[1].const_value
    if axes is None:
        raise UnsupportedError(f"onnx.opset=17: the axes of {node.op_type} ({node.name}) are computed", _HINT)
    node.attributes["axes"] = ir.AttrInt64s("axes", [int(a) for a in axes.numpy().reshape(-1)])
    node.resize_inputs(1)


def _sizes_of_parts(graph: ir.Graph, node: ir.Node, shapes: Mapping[str, tuple[int, ...]]) -> None:
    import numpy as np

    axis = node.attributes.get_int("axis", 0)
    node.attributes.pop("num_outputs")
    sizes = np.array([shapes[str(value.name)][axis] for value in node.outputs], np.int64)
    node.resize_inputs(2)
    node.replace_input_with(1, initializer(graph, f"{node.outputs[0].name}.sizes", sizes))


def _all_pads(graph: ir.Graph, node: ir.Node, shapes: Mapping[str, tuple[int, ...]]) -> None:
    import numpy as np

    pads, axes = (
        value.const_value if value is not None else None for value in (node.inputs[1], node.inputs[3])
    )
    if pads is None or axes is None:
        raise UnsupportedError(f"onnx.opset=17: the sizes of Pad ({node.name}) are computed", _HINT)
    rank = len(shapes[str(node.outputs[0].name)])
    given, places = pads.numpy(), [int(a) % rank for a in axes.numpy()]
    whole = np.zeros(2 * rank, np.int64)
    for index, axis in enumerate(places):
        whole[axis], whole[rank + axis] = given[index], given[len(places) + index]
    node.replace_input_with(1, initializer(graph, f"{node.outputs[0].name}.pads", whole))
    node.resize_inputs(3)
