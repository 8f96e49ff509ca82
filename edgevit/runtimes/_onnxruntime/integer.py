"""Count the multiply-accumulates that ONNX Runtime really executes in integers.

The file only says what may become an integer kernel. ONNX Runtime's optimized graph, saved and read
back, says what did: a pattern that it does not recognise stays DequantizeLinear and a float product.
"""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgevit.agent.integer_macs import ONNX_WEIGHTS, of_onnx
from edgevit.core.disk.reading import reads
from edgevit.core.disk.space import writing
from edgevit.core.errors import InputError
from edgevit.core.require import require
from edgevit.core.runner import IntegerMacs
from edgevit.runtimes._onnxruntime import session as ort_session

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray

_SMALL: Final = 1 << 10
_ACTIVATION: Final = 0
# Kernel -> position of the activation's scale, where it has one.
_SCALES: Final[Mapping[str, int]] = {
    "QLinearConv": 1,
    "QLinearMatMul": 1,
    "QGemm": 1,
    "MatMulIntegerToFloat": 2,
}
_BLOCKS: Final = "MatMulNBits"
_WEIGHTS: Final = {**ONNX_WEIGHTS, _BLOCKS: 1}
_INPUTS: Final = {"tensor(float16)": "float16", "tensor(uint8)": "uint8"}
_RANK_OF_IMAGES: Final = 4
_DYNAMIC: Final = ("DynamicQuantizeMatMul", _BLOCKS)
_INT8_ACTIVATIONS: Final = 4  # MatMulNBits' accuracy level that rounds its input; with others it is float


@reads("ONNX file", ort_session.AGAIN)
def count(path: Path) -> IntegerMacs:
    """MACs for one image in integer kernels, and every operator of the optimized graph.

    Raises:
        InputError: not a loadable ONNX file, or its shapes are not fixed.
    """
    with tempfile.TemporaryDirectory() as folder:
        return _count(path, Path(folder) / "optimized.onnx")


def _count(path: Path, out: Path) -> IntegerMacs:
    optimized = _optimize(path, out)
    constants = {tensor.name: tuple(tensor.dims) for tensor in optimized.graph.initializer}
    makers = {name: node for node in optimized.graph.node for name in node.output}
    kernels = [node for node in optimized.graph.node if _is_integer(node)]
    shapes = _shapes(optimized, out, kernels, constants, path)
    static = dynamic = 0
    for node in kernels:
        macs = _macs(node, shapes)
        if _is_static(node, constants, makers):
            static += macs
        else:
            dynamic += macs
    found = Counter(node.op_type for node in optimized.graph.node)
    images = images_at_once(optimized)
    return IntegerMacs(static // images, dynamic // images, "runtime", tuple(found.most_common()))


def images_at_once(model: onnx.ModelProto) -> int:
    """The batch of a file that takes images, 1 where it takes any number of them."""
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    axes = list(inputs[0].type.tensor_type.shape.dim) if len(inputs) == 1 else []
    return max(1, int(axes[0].dim_value)) if len(axes) == _RANK_OF_IMAGES else 1


def _optimize(path: Path, out: Path) -> onnx.ModelProto:
    """The optimized graph, written to `out`; its large constants, above 2 GB also in total, beside it."""
    options = ort_session.session_options(1, spinning=False)
    options.optimized_model_filepath = str(out)
    options.add_session_config_entry(
        "session.optimized_model_external_initializers_file_name", f"{out.name}.data"
    )
    options.add_session_config_entry(
        "session.optimized_model_external_initializers_min_size_in_bytes", str(_SMALL)
    )
    with writing(out.parent):
        ort_session.open_session(path, options, path)
    return ort_session.read_model(out)


def _is_integer(node: onnx.NodeProto) -> bool:
    if node.op_type == _BLOCKS:
        return _attribute(node, "accuracy_level") == _INT8_ACTIVATIONS
    return node.op_type in _WEIGHTS


def _attribute(node: onnx.NodeProto, name: str) -> int:
    return next((int(a.i) for a in node.attribute if a.name == name), 0)


def _macs(node: onnx.NodeProto, shapes: Mapping[str, Sequence[int]]) -> int:
    output = shapes[node.output[0]]
    if node.op_type == _BLOCKS:  # its weight is packed
        return math.prod(output) * _attribute(node, "K")
    return of_onnx(node.op_type, shapes[node.input[_WEIGHTS[node.op_type]]], output)


def _is_static(
    node: onnx.NodeProto, constants: Mapping[str, Sequence[int]], makers: Mapping[str, onnx.NodeProto]
) -> bool:
    """Whether the activation's scale was fixed before: a constant, or no run-time quantization upstream."""
    if node.op_type in _DYNAMIC:
        return False
    if node.op_type in _SCALES:
        return node.input[_SCALES[node.op_type]] in constants
    name = node.input[_ACTIVATION]
    while (maker := makers.get(name)) is not None and maker.op_type != "QuantizeLinear":
        if maker.op_type == "DynamicQuantizeLinear":
            return False
        if not maker.input:
            break
        name = maker.input[0]
    return maker is None or maker.input[1] in constants


def _shapes(
    model: onnx.ModelProto,
    file: Path,
    kernels: Sequence[onnx.NodeProto],
    constants: Mapping[str, Sequence[int]],
    path: Path,
) -> dict[str, Sequence[int]]:
    """Shapes of what the kernels read and write, from one run: the optimized file carries none."""
    import numpy as np

    wanted = {node.output[0] for node in kernels} | {node.input[_WEIGHTS[node.op_type]] for node in kernels}
    shapes: dict[str, Sequence[int]] = {name: constants[name] for name in wanted if name in constants}
    rest = sorted(wanted - shapes.keys())
    if not rest:
        return shapes
    ort = require("onnxruntime", ort_session.EXTRA)
    options = ort_session.session_options(1, spinning=False)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort_session.open_session(ort_session.with_outputs(model, rest, path), options, file)
    feed: dict[str, NDArray[np.generic]] = {}
    for value in session.get_inputs():
        if not all(isinstance(size, int) for size in value.shape[1:]):
            raise InputError(
                f"{path}: the input {value.name} has no fixed shape: {value.shape}",
                "export it with a fixed image size",
            )
        size = [n if isinstance(n, int) else 1 for n in value.shape]
        feed[value.name] = np.zeros(size, _INPUTS.get(value.type, "float32"))
    values = session.run(rest, feed)
    return shapes | {name: value.shape for name, value in zip(rest, values, strict=True)}
