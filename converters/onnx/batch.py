"""A file for N images at once, or for any number: the batch axis of 1 made larger, everywhere.

The graph is made for one image, with the sizes of its reshapes written out. Here each tensor that depends on the
image gets to know which of its axes holds the batch, as the slowest part of that axis: Swin's windows stand as
(images * windows, ...). Reshapes then get another size there, and what is joined to such a tensor and does not depend
on the image, as a class token, is repeated. An operator without a rule is refused by its name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from converters.onnx.qdq_nodes import initializer
from edgevit.core.errors import UnsupportedError

if TYPE_CHECKING:
    import onnx_ir as ir

    Shapes = Mapping[str, tuple[int, ...]]

_HINT: Final = "leave onnx.batch out, and run the file once for each image"
DYNAMIC: Final = "batch"  # what the axis is called in the file
_IN_PLACE: Final = frozenset(
    (
        *("Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Resize"),
        *("BatchNormalization", "InstanceNormalization", "GroupNormalization", "LayerNormalization"),
        *("RMSNormalization", "Softmax", "LogSoftmax", "LpNormalization", "Pad", "Attention", "DepthToSpace"),
        *("SpaceToDepth", "QuantizeLinear", "DequantizeLinear", "ConvInteger", "Split", "Slice"),
    )
)
_ELEMENT_WISE: Final = frozenset(
    (
        *("Abs", "Add", "Cast", "Ceil", "Clip", "Cos", "Div", "Elu", "Equal", "Erf", "Exp", "Floor", "Gelu"),
        *("Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Less", "Log"),
        *(
            "LessOrEqual",
            "Max",
            "Mean",
            "Min",
            "Mish",
            "Mod",
            "Mul",
            "Neg",
            "Not",
            "Or",
            "And",
            "PRelu",
            "Pow",
        ),
        *("Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Sub"),
        *("Sum", "Swish", "Tanh", "Where", "Selu", "Celu", "Dropout"),
    )
)
# What takes images or tokens with the batch in front.
_IN_FRONT: Final = frozenset(
    name
    for name in _IN_PLACE
    if "Conv" in name or "Pool" in name or name in ("Attention", "Resize", "DepthToSpace", "SpaceToDepth")
)
_ALONG: Final = {
    "Split": 0,
    "Softmax": -1,
    "LogSoftmax": -1,
    "LpNormalization": -1,
}  # their axis if none is named
_PRODUCTS: Final = frozenset(("MatMul", "MatMulInteger"))


def rebatch(model: ir.Model, shapes: Shapes, batch: int | None) -> None:
    """Edit `model`, made for one image, in place.

    Args:
        shapes: of every tensor with a batch of 1, by name.
        batch: number of images, None for any.

    Raises:
        UnsupportedError: an operator with which the batch cannot be followed; it is named.
    """
    import onnx_ir as ir

    graph = model.graph
    walk = _Walk(graph, shapes, batch, {str(graph.inputs[0].name): 0})
    for node in list(graph):
        if any(value is not None and value.name in walk.axis for value in node.inputs):
            walk.follow(node)
    for output in graph.outputs:
        if walk.axis.get(str(output.name)) != 0:
            raise UnsupportedError(
                f"onnx.batch: the output {output.name} does not begin with the batch", _HINT
            )
    for value in (*graph.inputs, *graph.outputs):
        sizes = shapes[str(value.name)]
        value.shape = ir.Shape([DYNAMIC if batch is None else batch, *sizes[1:]])
    for node in graph:
        for value in node.outputs:
            if not value.is_graph_output():
                value.shape = None  # of one image


@dataclass(slots=True)
class _Walk:
    """Which axis of each tensor holds the batch; tensors that are not in `axis` do not depend on the image."""

    graph: ir.Graph
    shapes: Shapes
    batch: int | None
    axis: dict[str, int]
    repeated: dict[str, ir.Value] = field(default_factory=dict)

    def follow(self, node: ir.Node) -> None:
        rules: dict[str, Callable[[ir.Node], int]] = {
            "Transpose": self._transpose,
            "Reshape": self._reshape,
            "Flatten": self._flatten,
            "Concat": self._concat,
            "Gather": self._gather,
            "Gemm": self._gemm,
            "Squeeze": self._squeeze,
            "Unsqueeze": self._unsqueeze,
            "Expand": self._aligned,
            "Tile": lambda n: self._of(n, 0),
        }
        rule = rules.get(node.op_type)
        if rule is None:
            if node.op_type in _IN_PLACE:
                rule = self._in_place
            elif node.op_type in _ELEMENT_WISE or node.op_type in _PRODUCTS:
                rule = self._aligned
            elif node.op_type.startswith("Reduce"):
                rule = self._reduce
            else:
                raise self._refused(node)
        found = rule(node)
        for value in node.outputs:
            self.axis[str(value.name)] = found

    def _of(self, node: ir.Node, index: int) -> int:
        value = node.inputs[index]
        if value is None or value.name not in self.axis:
            raise self._refused(node)
        return self.axis[value.name]

    def _size(self, value: ir.Value | None) -> tuple[int, ...]:
        assert value is not None
        return self.shapes[str(value.name)]

    def _in_place(self, node: ir.Node) -> int:
        axis, rank = self._of(node, 0), len(self._size(node.inputs[0]))
        if node.op_type in _ALONG and node.attributes.get_int("axis", _ALONG[node.op_type]) % rank == axis:
            raise self._refused(node)
        if node.op_type in _IN_FRONT and axis != 0:
            raise self._refused(node)
        if (
            node.op_type in ("Slice", "Pad")
            and self._size(node.inputs[0])[axis] != self._size(node.outputs[0])[axis]
        ):
            raise self._refused(node)
        return axis

    def _aligned(self, node: ir.Node) -> int:
        """Counted from the last axis, as operands are."""
        rank = len(self._size(node.outputs[0]))
        found = {
            rank - len(self._size(value)) + self.axis[str(value.name)]
            for value in node.inputs
            if value is not None and value.name in self.axis
        }
        if len(found) != 1:
            raise self._refused(node)
        (axis,) = found
        if node.op_type in _PRODUCTS and axis >= rank - (2 if self._is_batched(node.inputs[1]) else 1):
            raise self._refused(node)
        for index, value in enumerate(node.inputs):
            place = -1 if value is None else axis - rank + len(self._size(value))
            if value is None or place < 0 or self._is_batched(value) or node.op_type == "Expand":
                continue
            # a constant for each window, say; one for all is broadcast
            if self._size(value)[place] != 1 and not (node.op_type in _PRODUCTS and axis == rank - 2):
                node.replace_input_with(index, self._repeated(node, value, place))
        return axis

    def _transpose(self, node: ir.Node) -> int:
        """Where an axis holds the batch and more and does not stay in front, the batch goes to the front alone."""
        import numpy as np
        import onnx_ir as ir

        axis, order = self._of(node, 0), list(node.attributes["perm"].as_ints())
        source = list(self._size(node.inputs[0]))
        if source[axis] == 1 or order.index(axis) == 0:
            return order.index(axis)
        images = -1 if self.batch is None else self.batch
        target = list(self._size(node.outputs[0]))
        target[0] = -1 if self.batch is None else self.batch * target[0]
        value, out = node.inputs[0], node.outputs[0]
        assert value is not None
        apart = initializer(
            self.graph, f"{out.name}.apart", np.array([*source[:axis], images, *source[axis:]], np.int64)
        )
        joined = initializer(self.graph, f"{out.name}.joined", np.array(target, np.int64))
        wide = [axis, *(old + (old >= axis) for old in order)]
        first = ir.node("Reshape", [value, apart], name=f"{node.name}/apart")
        middle = ir.node("Transpose", [first.outputs[0]], {"perm": wide}, name=f"{node.name}/front")
        last = ir.node("Reshape", [middle.outputs[0], joined], name=f"{node.name}/joined")
        for made in (first, middle, last):
            made.outputs[0].name, made.outputs[0].type = f"{made.name}.value", value.type
        self.graph.insert_after(node, [first, middle, last])
        out.replace_all_uses_with(last.outputs[0], replace_graph_outputs=True)
        name = out.name
        self.graph.remove(node, safe=True)
        last.outputs[0].name = name
        return 0

    def _reshape(self, node: ir.Node) -> int:
        source, target = self._size(node.inputs[0]), self._size(node.outputs[0])
        axis = self._of(node, 0)
        before = math.prod(source[:axis])
        places = [d for d in range(len(target)) if math.prod(target[:d]) == before]
        if not places:
            raise self._refused(node)
        sizes = list(target)
        sizes[places[0]] = -1 if self.batch is None else self.batch * target[places[0]]
        import numpy as np

        name = f"{node.outputs[0].name}.shape"
        node.replace_input_with(1, initializer(self.graph, name, np.array(sizes, np.int64)))
        node.attributes.pop("allowzero", None)
        return places[0]

    def _flatten(self, node: ir.Node) -> int:
        axis, split = self._of(node, 0), node.attributes.get_int("axis", 1)
        if axis != 0 or split != 1:
            raise self._refused(node)
        return 0

    def _concat(self, node: ir.Node) -> int:
        joined = node.attributes["axis"].as_int() % len(self._size(node.outputs[0]))
        found = {self.axis[v.name] for v in node.inputs if v is not None and v.name in self.axis}
        if len(found) != 1 or joined in found:
            raise self._refused(node)
        (axis,) = found
        for index, value in enumerate(node.inputs):
            assert value is not None
            if not self._is_batched(value):
                if self._size(value)[axis] != 1:
                    raise self._refused(node)
                node.replace_input_with(index, self._repeated(node, value, axis))
        return axis

    def _repeated(self, node: ir.Node, value: ir.Value, axis: int) -> ir.Value:
        """`value`, which does not depend on the image, once for each of them along `axis`."""
        import numpy as np
        import onnx_ir as ir

        stem = f"{value.name}.repeated.{axis}"
        if stem in self.repeated:
            return self.repeated[stem]
        rank = len(self._size(value))
        nodes: list[ir.Node] = []
        if self.batch is not None:
            times = [self.batch if a == axis else 1 for a in range(rank)]
            repeats = initializer(self.graph, f"{stem}.times", np.array(times, np.int64))
        else:
            nodes.append(ir.node("Shape", [self.graph.inputs[0]], {"start": 0, "end": 1}))
            nodes[0].outputs[0].name = f"{stem}.images"
            ones = [
                initializer(self.graph, f"{stem}.{name}", np.ones(count, np.int64))
                for name, count in (("before", axis), ("after", rank - axis - 1))
            ]
            nodes.append(ir.node("Concat", [ones[0], nodes[0].outputs[0], ones[1]], {"axis": 0}))
            repeats = nodes[1].outputs[0]
            repeats.name = f"{stem}.times"
        nodes.append(ir.node("Tile", [value, repeats]))
        made = nodes[-1].outputs[0]
        made.name, made.type = stem, value.type
        for one in nodes:
            one.name = f"{stem}/{one.op_type}"
        self.graph.insert_before(node, nodes)
        self.repeated[stem] = made
        return made

    def _is_batched(self, value: ir.Value | None) -> bool:
        return value is not None and value.name in self.axis

    def _gather(self, node: ir.Node) -> int:
        axis = self._of(node, 0)
        if node.inputs[1] is not None and node.inputs[1].name in self.axis:
            raise self._refused(node)
        taken = node.attributes.get_int("axis", 0) % len(self._size(node.inputs[0]))
        if taken == axis:
            return self._in_order(node)
        return axis if taken > axis else axis - 1 + len(self._size(node.inputs[1]))

    def _in_order(self, node: ir.Node) -> int:
        """A Gather of all elements one after the other, as torch.onnx writes a change of strides: a Reshape."""
        import numpy as np
        import onnx_ir as ir

        value, taken = node.inputs
        assert value is not None and taken is not None
        count = math.prod(self._size(value))
        held = None if taken.const_value is None else taken.const_value.numpy().reshape(-1)
        if len(self._size(value)) != 1 or held is None or not np.array_equal(held, np.arange(count)):
            raise self._refused(node)
        sizes = list(self._size(taken))
        sizes[0] = -1 if self.batch is None else self.batch * sizes[0]
        shape = initializer(self.graph, f"{node.outputs[0].name}.shape", np.array(sizes, np.int64))
        made = ir.node("Reshape", [value, shape], name=f"{node.name}/Reshape")
        old, new = node.outputs[0], made.outputs[0]
        new.type, name = old.type, old.name
        self.graph.insert_after(node, made)
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        self.graph.remove(node, safe=True)
        new.name = name
        return 0

    def _gemm(self, node: ir.Node) -> int:
        others = [v for v in node.inputs[1:] if v is not None and v.name in self.axis]
        turned = node.attributes.get_int("transA", 0) != 0
        if self._of(node, 0) != 0 or turned or others:
            raise self._refused(node)
        return 0

    def _reduce(self, node: ir.Node) -> int:
        axis, rank = self._of(node, 0), len(self._size(node.inputs[0]))
        gone = self._axes(node, rank)
        if axis in gone or not gone:
            raise self._refused(node)
        return axis if node.attributes.get_int("keepdims", 1) != 0 else axis - sum(a < axis for a in gone)

    def _squeeze(self, node: ir.Node) -> int:
        axis, source = self._of(node, 0), self._size(node.inputs[0])
        gone = self._axes(node, len(source))
        if axis in gone or not gone:
            raise self._refused(node)
        return axis - sum(a < axis for a in gone)

    def _unsqueeze(self, node: ir.Node) -> int:
        axis = self._of(node, 0)
        for added in sorted(self._axes(node, len(self._size(node.outputs[0])))):
            axis += added <= axis
        return axis

    def _axes(self, node: ir.Node, rank: int) -> list[int]:
        value = node.inputs[1] if len(node.inputs) > 1 else None
        if value is not None and value.const_value is not None:
            return [int(a) % rank for a in value.const_value.numpy().reshape(-1)]
        return [a % rank for a in node.attributes["axes"].as_ints()] if "axes" in node.attributes else []

    def _refused(self, node: ir.Node) -> UnsupportedError:
        return UnsupportedError(
            f"onnx.batch: the images cannot be followed through {node.op_type} ({node.name})", _HINT
        )
