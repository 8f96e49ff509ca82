"""Find the operator that HTP validates and then does not compile: it names none.

The graph is cut at its quantized tensors, where a part of it is a program of its own. What fails once fails in every
longer part, so the shortest part that fails is found by halving, and its last operator is the one.
"""

from __future__ import annotations

from bisect import bisect_left
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.runtimes._qnn import session as htp

if TYPE_CHECKING:
    import onnx


def first_failing(model: onnx.ModelProto, path: Path, architecture: str) -> onnx.NodeProto | None:
    """The operator, or None where each part compiles and only the whole does not.

    Args:
        path: the file, for weights beside it.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    cuts = [node for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[0] in makers]

    def fails(count: int) -> bool:
        part = _part(model, [node.output[0] for node in cuts[:count]], makers)
        try:
            htp.start(part.SerializeToString(), htp.htp_options(architecture), path)
        except Exception:  # noqa: BLE001  whatever it is, this part does not compile
            return True
        return False

    at = bisect_left(range(1, len(cuts) + 1), True, key=fails)
    return None if at == len(cuts) else makers[cuts[at].input[0]]


def _part(model: onnx.ModelProto, ends: list[str], makers: dict[str, onnx.NodeProto]) -> onnx.ModelProto:
    """What makes the tensors `ends`, those of them being outputs that nothing else in it reads."""
    import onnx

    wanted: set[str] = set()
    waiting = list(ends)
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted.add(name)
            waiting += makers[name].input if name in makers else ()
    nodes = [node for node in model.graph.node if wanted & set(node.output)]
    read = {name for node in nodes for name in node.input}
    part = onnx.ModelProto()
    part.CopyFrom(model)
    del part.graph.node[:], part.graph.output[:], part.graph.initializer[:], part.graph.input[:]
    part.graph.node.extend(nodes)
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in ends if name not in read)
    part.graph.initializer.extend(t for t in model.graph.initializer if t.name in read)
    part.graph.input.extend(value for value in model.graph.input if value.name in read)
    return part
