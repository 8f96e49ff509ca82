"""Why a model cannot be exported, and where in its code: errors that name operator, module and line."""

from __future__ import annotations

import linecache
from types import TracebackType
from typing import TYPE_CHECKING, Any

from edgevit.core.errors import UnsupportedError
from edgevit.program import diagnostics

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

_BRANCH = (
    "the forward pass must not depend on the values of tensors: use torch.where instead of `if`, "
    "and operators whose result has a fixed shape"
)


def explained(error: Exception, name: str, module: torch.nn.Module) -> UnsupportedError:
    """What torch.export met, with the module and the line of the model's code that it came to."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0].rstrip(".") if lines else type(error).__name__
    hint = "change that line, or give another --image-size if the model wants one"
    if type(error).__name__ in ("GuardOnDataDependentSymNode", "DynamicOutputShapeException"):
        first, hint = "its control flow or a shape depends on the values of a tensor", _BRANCH
    elif "data-dependent" in first or "unbacked" in first:
        hint = _BRANCH
    elif "numpy" in first:
        hint = "compute with PyTorch's operators alone between input and output"
    return UnsupportedError(
        f"PyTorch cannot export {name}: {first}{_place(error.__traceback__, module)}", hint
    )


def refuse_unknown_sizes(program: ExportedProgram, name: str, image: torch.fx.Node) -> None:
    """Every file has fixed shapes, so a number or a shape that depends on the image's values has no place.

    Raises:
        UnsupportedError: naming the first operator that makes one.
    """
    import torch

    symbols = (torch.SymInt, torch.SymFloat, torch.SymBool)
    for node in _after(program, image):
        values = _leaves(node.meta.get("val"))
        if any(isinstance(v, symbols) or any(isinstance(n, symbols) for n in _shape(v)) for v in values):
            raise UnsupportedError(
                f"{name} cannot be converted: the shape or the number that {diagnostics.describe(node)} gives "
                "depends on the values of the image",
                _BRANCH,
            )


def refuse_constant(program: ExportedProgram, name: str, image: torch.fx.Node) -> None:
    """A model without its image is a constant, for which no converter makes a file that says so.

    Raises:
        UnsupportedError: no output depends on the image.
    """
    given = program.graph_module.graph.output_node().all_input_nodes
    if not {image, *_after(program, image)} & set(given):
        raise UnsupportedError(
            f"{name} cannot be converted: none of its outputs depends on the image",
            "let the forward pass use its argument",
        )


def refuse_complex(program: ExportedProgram, name: str) -> None:
    """No target has complex numbers.

    Raises:
        UnsupportedError: naming the first operator that makes them.
    """
    for node in program.graph_module.graph.nodes:
        values = _leaves(node.meta.get("val")) if node.op == "call_function" else []
        if any(getattr(getattr(value, "dtype", None), "is_complex", False) for value in values):
            raise UnsupportedError(
                f"{name} cannot be converted: {diagnostics.describe(node)} gives complex numbers, which no "
                "target has",
                "compute with real and imaginary parts as two tensors; a Fourier transform of fixed size "
                "is two products with constant matrices",
            )


def _place(trace: TracebackType | None, module: torch.nn.Module) -> str:
    """In which module, and at which line with its text, a traceback was in the model's own code last."""
    names = {id(part): name for name, part in module.named_modules()}
    path, frame = "", None
    while trace is not None:
        code = trace.tb_frame.f_code
        path = names.get(id(trace.tb_frame.f_locals.get("self")), path)
        if not diagnostics.is_machinery(code.co_filename):
            frame = diagnostics.Frame(code.co_filename, trace.tb_lineno, code.co_name)
        trace = trace.tb_next
    if frame is None:
        return ""
    where = f"in the module {path!r}" if path else "in the model itself"
    source = linecache.getline(frame.file, frame.line).strip()
    return f"; {where} at {frame}" + (f": {source}" if source else "")


def _after(program: ExportedProgram, image: torch.fx.Node) -> list[torch.fx.Node]:
    """The operations that depend on the values or the shape of the image, in their order."""
    depends = {image: None}
    for node in program.graph_module.graph.nodes:
        if node.op == "call_function" and any(given in depends for given in node.all_input_nodes):
            depends[node] = None
    return list(depends)[1:]


def _leaves(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _shape(value: Any) -> tuple[Any, ...]:
    return tuple(getattr(value, "shape", ()))
