"""The step that compiles one file with a vendor's compiler."""

from __future__ import annotations

from dataclasses import dataclass

from edgevit.core.plugins import CompileRequest
from edgevit.core.progress import Emit
from edgevit.core.results.compiled import CompilerReport
from edgevit.registries import CHECKERS


@dataclass(frozen=True, slots=True)
class CompileFile:
    """What to compile, and the plug-in that has the compiler."""

    checker: str
    request: CompileRequest


def compile_file(asked: CompileFile, emit: Emit) -> CompilerReport:
    """Compile a file. Runs in a worker."""
    compiler = CHECKERS.get(asked.checker).compiler
    assert compiler is not None, asked.checker
    return compiler.compile(asked.request)
