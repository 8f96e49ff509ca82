"""Open a LiteRT interpreter with XNNPACK and see what the delegate took."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from edgevit.agent.opened import litert_threads
from edgevit.core.errors import InputError, UnsupportedError
from edgevit.core.foreign import brief
from edgevit.core.require import require
from edgevit.formats.tflite_file import AGAIN, EXTRA, TfliteFile

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter

_FLEX: Final = "Flex"
_HINT: Final = (
    "select TensorFlow operators run in an app that links them (litert-select-tf-ops), custom ones in one that "
    "registers them; here neither does: convert the model again with TFLite's own operators alone"
)


def open_interpreter(file: TfliteFile, content: bytes, threads: int) -> Interpreter:
    """An interpreter with its memory allocated; `threads` 0 for all cores of this process.

    Args:
        content: the file's, or that of a copy with other outputs.

    Raises:
        InputError: LiteRT refuses the file.
        UnsupportedError: it does so because of operators that are none of TFLite's own.
    """
    litert = require("ai_edge_litert.interpreter", EXTRA)
    try:
        interpreter = litert.Interpreter(model_content=content, num_threads=litert_threads(threads))
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        foreign = _foreign(file)
        if foreign:
            raise UnsupportedError(f"LiteRT here cannot execute {file.path}: {foreign}", _HINT) from error
        raise InputError(f"LiteRT cannot load {file.path}: {brief(error)}", AGAIN) from error
    return interpreter


def _foreign(file: TfliteFile) -> str:
    """The operators that are none of TFLite's own, each with its number and what it makes; "" if there are none."""
    first: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for operator in file.operators:
        if operator.custom:
            counts[operator.kind] += 1
            made = [file.tensors[index].name for index in operator.outputs if index >= 0]
            first.setdefault(operator.kind, made[0] if made else "nothing")
    contents = []
    for kind, count in counts.items():
        what = (
            f"{kind}, a select TensorFlow operator"
            if kind.startswith(_FLEX)
            else f"{kind}, a custom operator"
        )
        many = f", {count} times, the first" if count > 1 else ","
        contents.append(f"{what}{many} making {first[kind]!r}")
    return "it holds " + "; ".join(contents) if contents else ""


def partitions(interpreter: Interpreter, file: TfliteFile) -> list[set[int]]:
    """Indices of the file's operators that each delegate node executes in their place.

    The interpreter appends a node per partition, which names its ends; the operators between them are found
    by walking back from its outputs to its inputs.
    """
    makers = {tensor: index for index, operator in enumerate(file.operators) for tensor in operator.outputs}
    found = []
    for node in interpreter._get_ops_details():
        if node["op_name"] != "DELEGATE":
            continue
        ends = {int(t) for t in node["inputs"]}
        waiting = [int(t) for t in node["outputs"]]
        inside: set[int] = set()
        while waiting:
            maker = makers.get(waiting.pop())
            if maker is not None and maker not in inside:
                inside.add(maker)
                waiting += [t for t in file.operators[maker].inputs if t not in ends]
        found.append(inside)
    return found
