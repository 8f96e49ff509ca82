"""Qualcomm's Hexagon NPU (HTP), by Qualcomm's own compiler in onnxruntime-qnn.

The same library executes what it compiled, as the runtime `qnn`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from edgevit.core.disk.reading import reads
from edgevit.core.errors import RefusedError
from edgevit.core.plugins import Checker, Compiler, CompileRequest
from edgevit.core.results.compiled import CompilerReport, Placed
from edgevit.core.results.lint import Finding, LintReport, NotChecked
from edgevit.formats.htp import DEFAULT, architecture
from edgevit.runtimes._onnxruntime import session as ort_session
from edgevit.runtimes._qnn import host, program
from edgevit.runtimes._qnn.context import compile_context
from edgevit.runtimes._qnn.opened import compiler
from edgevit.runtimes._qnn.refusals import MARKERS

NAME: Final = "qnn"
_NAMED: Final = 3  # operators in one sentence
_FLOAT: Final = "the emulator computes them in float32, a device does not"


@reads("ONNX file", ort_session.AGAIN)
def check(path: Path, backend: str) -> LintReport:
    """Compile the file, and where that fails ask why.

    Raises:
        UsageError: an architecture that onnxruntime-qnn does not know.
        InputError: no ONNX file.
    """
    wanted = _architecture(backend)
    model = ort_session.read_model(path)
    operations: Sequence[program.Operation] = ()
    found: tuple[Finding, ...] = ()
    try:
        operations = program.read(path, path, wanted)
    except RefusedError as error:
        if not error.findings:  # the whole does not compile, whatever its parts do
            raise
        found = error.findings
    count = sum(node.op_type not in MARKERS for node in model.graph.node)
    places = {"npu": count - len(found), "cpu": len(found)}
    return LintReport(
        artifact=str(path),
        backend=backend,
        kind="compiler",
        checked_by=compiler(wanted),
        operators={place: number for place, number in places.items() if number},
        findings=tuple(replace(one, backend=backend) for one in found),
        not_checked=tuple(_not_checked(operations, bool(found))),
    )


def compile_file(asked: CompileRequest) -> CompilerReport:
    """Compile ahead of time: an ONNX file of one node, with the program in it.

    Raises:
        UsageError: an architecture that onnxruntime-qnn does not know.
        InputError: no ONNX file.
        RefusedError: HTP takes only a part of it.
    """
    wanted, path = _architecture(asked.accelerator), Path(asked.path)
    operations = program.read(path, path, wanted)
    out = compile_context(path, Path(asked.folder) / f"{path.stem}_{wanted}.onnx", wanted)
    model = ort_session.read_model(path)
    count = sum(node.op_type not in MARKERS for node in model.graph.node)
    return CompilerReport(
        artifact=asked.shown,
        accelerator=asked.accelerator,
        compiler=compiler(wanted),
        operators=Placed(npu=count, cpu=0),
        macs=Placed(npu=sum(operation.macs for operation in operations), cpu=0),
        findings=(),
        estimate=None,
        output=str(out),
    )


def _architecture(backend: str) -> str:
    return architecture(backend.removeprefix(NAME).removeprefix("-") or DEFAULT)


def _not_checked(operations: Sequence[program.Operation], refused: bool) -> Iterator[NotChecked]:
    floats = [operation.name for operation in operations if operation.in_float]
    if floats:
        more = f" and {len(floats) - _NAMED} more" if len(floats) > _NAMED else ""
        yield NotChecked(f"{', '.join(floats[:_NAMED])}{more}, which compute in float", _FLOAT)
    if refused:
        yield NotChecked("what computes in float", "the file is not compiled as a whole")


CHECKER: Final = Checker(
    summary="Qualcomm's Hexagon NPU, by the compiler and emulator in onnxruntime-qnn",
    syntax="qnn[-vNN]",
    accepts=lambda text: text == NAME or text.startswith(f"{NAME}-"),
    usual=f"{NAME}-{DEFAULT}",
    suffixes=("onnx",),
    kind="compiler",
    unavailable=host.unavailable,
    check=check,
    extra=host.EXTRA,
    compiler=Compiler(None, {}, (), compile_file, _architecture),
)
