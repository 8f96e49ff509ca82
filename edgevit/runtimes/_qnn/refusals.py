"""Which operators HTP refuses, and why: read from the log of a session that may leave them to the CPU.

The execution provider groups the graph into units, an operator with the DequantizeLinear and QuantizeLinear about it,
asks the backend for each, and logs the question and the answer:

    Qnn_OpConfig node name: norm package_name: qti.aisw QNN_op_type: LayerNorm num_of_inputs: 3 ...
     node_inputs:
     name=x ... dataType=QNN_DATATYPE_UFIXED_POINT_8 ...
     node_outputs:
     name=y ... dataType=QNN_DATATYPE_UFIXED_POINT_8 ...
    QNN.backendValidateOpConfig() failed for node `norm` of type `LayerNorm` with error code 3110
    Validation FAILED for 5 nodes in OrtNodeUnit (LayerNormalization) :
        Operator type: DequantizeLinear Node name: dq_x Node index: 0
        Operator type: LayerNormalization Node name: norm Node index: 3
        REASON : Failed to add node.

It asks twice, before the layout of the graph is changed and after it, when some patterns are fused that were refused at
first. The last answer for a node counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import onnx

MARKERS: Final = ("DequantizeLinear", "QuantizeLinear")

_UNIT: Final = re.compile(
    r"Validation (?P<answer>PASSED|FAILED) for \d+ nodes in OrtNodeUnit \((?P<type>[^)]*)\) :\n"
    r"(?P<nodes>(?:\s*Operator type: .*\n)+)"
    r"(?:\s*REASON : (?P<reason>.*))?"
)
_NODE: Final = re.compile(r"Operator type: (?P<type>\S+) Node name: (?P<name>.*?) Node index: \d+")
_MOVED: Final = re.compile(r"_token_\d+$")  # what a node gets that is made anew for another layout
_ASKED: Final = re.compile(
    r"QNN_op_type: (?P<type>\w+) .*\n"
    r" node_inputs:\n(?P<takes>(?: name=.*\n)*)"
    r" node_outputs:\n(?P<gives>(?: name=.*\n)*)"
)
_CODE: Final = re.compile(r"backendValidateOpConfig\(\) failed for node .* with error code (?P<code>\d+)")
_TYPE: Final = re.compile(r"dataType=QNN_DATATYPE_(\w+)")
_CONCLUSION: Final = re.compile(r"(?<=\.)\s*\w+ node `[^`]*` will not be assigned to QNN EP\.?$")
_SAYS_NOTHING: Final = "Failed to add node"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One operator that HTP does not take.

    Attributes:
        operator: as ONNX calls it.
        name: of the node in the file, "" where ONNX Runtime made it.
        reason: of the execution provider or of the backend, one line.
    """

    operator: str
    name: str
    reason: str


def read_log(said: str) -> tuple[Refusal, ...]:
    """The refused units of a log, in its order, each by its own operator."""
    last: dict[tuple[str, str], Refusal | None] = {}
    begin = 0
    for unit in _UNIT.finditer(said):
        kind = unit["type"]
        nodes = [(n["type"], _MOVED.sub("", n["name"])) for n in _NODE.finditer(unit["nodes"])]
        name = next((name for found, name in nodes if found == kind), "")
        refusal = None
        if unit["answer"] == "FAILED":
            refusal = Refusal(kind, name, _reason(unit["reason"] or "", said[begin : unit.start()]))
        last[kind, name] = refusal
        begin = unit.end()
    return tuple(refusal for refusal in last.values() if refusal is not None)


def _reason(said: str, before: str) -> str:
    """In one line; where the provider says nothing, what it asked the backend last and in vain."""
    code = list(_CODE.finditer(before))
    asked = list(_ASKED.finditer(before))
    if code and asked and said.startswith(_SAYS_NOTHING):
        takes, gives = (", ".join(_types(asked[-1][end])) for end in ("takes", "gives"))
        return (
            f"HTP has no {asked[-1]['type']} of {takes} that gives {gives} "
            f"(backendValidateOpConfig answers {code[-1]['code']})"
        )
    text = _CONCLUSION.sub("", " ".join(said.split())).rstrip(".")
    return "the QNN execution provider does not take it as it stands" if text == _SAYS_NOTHING else text


def _types(lines: str) -> Iterator[str]:
    """As ONNX calls them: UFIXED_POINT_8 is uint8."""
    for name in _TYPE.findall(lines):
        word, _, bits = name.rpartition("_")
        yield {"UFIXED_POINT": "uint", "SFIXED_POINT": "int"}.get(word, word.lower()) + bits


def blamed(
    refusals: Sequence[Refusal], model: onnx.ModelProto
) -> tuple[tuple[Refusal, onnx.NodeProto | None], ...]:
    """Each refusal with its node in the file, once for each operator that a person would look for.

    A marker that is refused stands for the operator that reads it, or that makes what it quantizes: where types and
    parameters do not go together, the provider sees no quantized operator and refuses its markers one by one.
    """
    nodes = {node.name: node for node in model.graph.node if node.name}
    readers = {name: node for node in model.graph.node for name in node.input}
    makers = {name: node for node in model.graph.node for name in node.output}
    found: dict[str, tuple[Refusal, onnx.NodeProto | None]] = {}
    for refusal in refusals:
        node = nodes.get(refusal.name)
        if node is not None and node.op_type in MARKERS:
            node = _operator_of(node, readers, makers)
            why = f"it is not taken as a quantized operator: {refusal.reason}"
            refusal = replace(refusal, operator=node.op_type, name=node.name, reason=why)
        found.setdefault(refusal.name or refusal.operator, (refusal, node))
    # What ONNX Runtime made for another layout is no cause of its own.
    of_the_file = tuple((refusal, node) for refusal, node in found.values() if node is not None)
    return of_the_file or tuple(found.values())


def _operator_of(
    marker: onnx.NodeProto, readers: Mapping[str, onnx.NodeProto], makers: Mapping[str, onnx.NodeProto]
) -> onnx.NodeProto:
    """What reads a DequantizeLinear or is read by a QuantizeLinear; the marker itself at an end of the graph."""
    node = marker
    while node.op_type in MARKERS:
        reads = node.op_type == "DequantizeLinear"
        following = readers.get(node.output[0]) if reads else makers.get(node.input[0])
        if following is None or following.op_type in MARKERS:  # a conversion of widths
            return marker
        node = following
    return node
