"""Which operator takes how long, from benchmark_model's profile: a message, or the table that it prints.

The message is `BenchmarkProfilingData` of tflite/profiling/proto/profiling_info.proto, which the LiteRT wheel brings;
what its entries are called is `ProfileSummarizer::ProcessProfiles` in tflite/profiling/profile_summarizer.cc. The table
is `StatsCalculator::GetStatsByMetric` of TensorFlow's stats_calculator.cc.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from edgevit.agent import litert_match
from edgevit.core.errors import DeviceError
from edgevit.core.require import require
from edgevit.core.results.device import OperatorTime

_DELEGATE: Final = "Delegate/"
_BY_DELEGATE: Final = "delegate"
# A delegate as one node of the graph; what it executes is listed apart.
_FUSED: Final = re.compile(r"TfLite\w*Delegate")
_NUMBERED: Final = re.compile(r"[:/]\d+$")
_BEGIN: Final = re.compile(r"=+ Run Order =+\s*\n([^\n]*\[node type\][^\n]*)\n(.*?)(?:\n\s*\n|\Z)", re.DOTALL)


def from_message(content: bytes, where: str) -> tuple[OperatorTime, ...]:
    """Operators in execution order from `--op_profiling_output_file` in the mode `proto`; empty if there are none.

    Raises:
        DeviceError: it is no such message.
    """
    messages = require("ai_edge_litert.profiling_info_pb2", "tflite")
    protobuf = require("google.protobuf.message", "tflite")
    data = messages.BenchmarkProfilingData()
    try:
        data.ParseFromString(content)
    except protobuf.DecodeError as error:
        raise DeviceError(
            f"the profile that benchmark_model wrote on {where} is damaged",
            "see whether the program given with --runner is Google's benchmark_model",
        ) from error
    profile = data.runtime_profile
    inner = [entry for delegate in profile.delegate_profiles for entry in delegate.per_op_profiles]
    found = [
        entry
        for subgraph in profile.subgraph_profiles
        for entry in subgraph.per_op_profiles
        if not (inner and _FUSED.match(entry.node_type))
    ]
    ordered = sorted((*found, *inner), key=lambda entry: int(entry.run_order))  # counted over both
    return tuple(
        _operator(
            entry.name, entry.node_type, entry.inference_microseconds.avg / 1e3 * max(entry.times_called, 0)
        )
        for entry in ordered
        if entry.times_called > 0
    )


def from_print(printed: str) -> tuple[OperatorTime, ...]:
    """The same from the table `Run Order` of what the program prints; empty if there is none."""
    table = _BEGIN.search(printed)
    if table is None:
        return ()
    columns = [name.strip() for name in table[1].split("\t") if name.strip()]
    found = []
    for line in table[2].splitlines():
        cells = dict(zip(columns, (cell.strip() for cell in line.split("\t") if cell.strip()), strict=False))
        try:
            calls, ms = int(cells["[times called]"]), float(cells["[avg ms]"])
            if calls > 0:
                found.append(_operator(cells["[Name]"], cells["[node type]"], ms * calls))
        except (KeyError, ValueError):
            continue  # a line of the log between
    return tuple(found)


def under_tensors(
    operators: Sequence[OperatorTime], of_file: Sequence[OperatorTime]
) -> tuple[OperatorTime, ...]:
    """The delegate's kernels under the tensors that they compute, as the agent names them.

    Args:
        operators: in the order of their execution.
        of_file: operators of the file, in order. Without any, the kernels keep their names.
    """
    numbers = {operator.name: number for number, operator in enumerate(of_file)}
    kernels = [one for one in operators if one.by == _BY_DELEGATE and not _FUSED.match(one.type)]
    if not of_file or not kernels:
        return tuple(operators)
    known = [one for one in operators if one in kernels or one.name in numbers]
    tags = [(one.type, -1 if one in kernels else numbers[one.name]) for one in known]
    executed = dict(zip(known, litert_match.match(tags, [one.type for one in of_file]), strict=True))
    return tuple(_under(one, of_file[executed[one]]) if one in kernels else one for one in operators)


def _under(kernel: OperatorTime, operator: OperatorTime) -> OperatorTime:
    return replace(kernel, name=operator.name, type=operator.type, by=f"{_BY_DELEGATE} {kernel.type}")


def _operator(name: str, kind: str, ms: float) -> OperatorTime:
    """An entry in our words: `[output, other]:7` is a node of the graph, `Delegate/Convolution:3` one of a delegate's.

    A node is called after its first output, by which its module is known.
    """
    plain = _NUMBERED.sub("", name)
    if name.startswith(_DELEGATE):
        inner = plain.removeprefix(_DELEGATE) if kind == "DelegateOpInvoke" else kind
        return OperatorTime(name.removeprefix(_DELEGATE), inner, _BY_DELEGATE, ms)
    if plain.startswith("[") and plain.endswith("]"):
        by = _BY_DELEGATE if _FUSED.match(kind) else "CPU"
        return OperatorTime(plain[1:-1].partition(", ")[0], kind, by, ms)
    return OperatorTime(plain, kind, "runtime", ms)
