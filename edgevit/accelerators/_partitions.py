"""Into how many pieces a TFLite delegate's operators fall, and which of them it takes."""

from __future__ import annotations

from collections.abc import Sequence

from edgevit.accelerators._operators import Operator


def delegated(operators: Sequence[Operator], supported: Sequence[bool], most: int) -> frozenset[int]:
    """Indices of the operators in the `most` largest partitions of supported ones.

    A partition is grown greedily: it begins with the first operator whose inputs are there, takes every further one of
    the same kind (supported or not) whose inputs are there too, also behind others in the file's order, and ends when
    there is none. So do `PartitionGraphIntoIndependentNodeSubsets` (tflite/graph_info.cc) and `GraphPartitionHelper`,
    which sorts the partitions by size (tflite/delegates/utils.cc).
    """
    missing = {output.index for operator in operators for output in operator.outputs}
    waiting = list(range(len(operators)))
    found: list[list[int]] = []
    while waiting:
        taken: list[int] = []
        kind: bool | None = None
        grown = True
        while grown:
            grown = False
            for index in tuple(waiting):
                operator = operators[index]
                if kind not in (None, supported[index]) or missing & {o.index for o in operator.given}:
                    continue
                kind = supported[index]
                taken.append(index)
                waiting.remove(index)
                missing -= {output.index for output in operator.outputs}
                grown = True
        if not taken:  # a cycle, which no runtime executes either
            break
        if kind:
            found.append(taken)
    found.sort(key=len, reverse=True)
    return frozenset(index for partition in found[:most] for index in partition)
