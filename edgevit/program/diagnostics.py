"""Which line of the user's model is to blame: read from the text of a traceback."""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.program.sites import module_of, named

if TYPE_CHECKING:
    import torch

_FRAME = re.compile(r'^\s*File "(?P<file>.+)", line (?P<line>\d+)(?:, in (?P<function>.*))?\s*$')
# Frames of these packages say how the model was traced, not what it is.
_MACHINERY = (
    *("torch", "functorch", "edgevit", "converters", "calibration"),
    *("onnxscript", "onnx_ir", "litert_torch", "coremltools", "jax"),
)


@dataclass(frozen=True, slots=True)
class Frame:
    """One entry of a traceback."""

    file: str
    line: int
    function: str = ""

    def __str__(self) -> str:
        """`file:line`, the file as short as it can be found: from its package on, or from here."""
        return f"{shortened(self.file)}:{self.line}"


def frames(text: str) -> tuple[Frame, ...]:
    """All entries of a traceback as Python prints it, the outermost first."""
    found = (_FRAME.match(line) for line in text.splitlines())
    return tuple(Frame(m["file"], int(m["line"]), (m["function"] or "").strip()) for m in found if m)


def innermost(entries: Iterable[Frame]) -> Frame | None:
    """The last entry that is code of a model: not of PyTorch, of a converter, or of edgevit."""
    own = [frame for frame in entries if not is_machinery(frame.file)]
    return own[-1] if own else None


def is_machinery(file: str) -> bool:
    """Whether a file belongs to what traces and converts, or is no file at all (`<string>`, `<eval>`)."""
    if file.startswith("<"):
        return True
    path = Path(file)
    package = _package(path)
    if package is not None:
        return package.split(".")[0] in _MACHINERY
    if path.is_relative_to(Path(__file__).resolve().parents[2]):
        root = path.relative_to(Path(__file__).resolve().parents[2]).parts[0]
        return root in _MACHINERY
    return path.is_relative_to(sysconfig.get_paths()["stdlib"])


def shortened(file: str) -> str:
    """A path from the installed package on, or relative to the current folder where it is below it."""
    path = Path(file)
    parts = path.parts
    if _package(path) is not None:
        return str(Path(*parts[_site_packages(parts) + 1 :]))
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else file


def _package(path: Path) -> str | None:
    index = _site_packages(path.parts)
    return path.parts[index + 1] if 0 <= index < len(path.parts) - 1 else None


def _site_packages(parts: tuple[str, ...]) -> int:
    places = [i for i, part in enumerate(parts) if part in ("site-packages", "dist-packages")]
    return places[-1] if places else -1


# How PyTorch's exporter, litert-torch and coremltools name what they stopped at: operators, then nodes.
_OPERATORS = (
    re.compile(r"OpOverload\(op='(?P<name>[\w.]+)'"),
    re.compile(r"Lowering not found: (?P<name>[\w.]+)"),
    re.compile(r"Unsupported fx node \w+, kind (?P<name>\w+)"),
    re.compile(r"function for op '(?P<name>\w+)' not implemented"),
)
_NODES = (re.compile(r"(?:While executing|translating node) %(?P<name>\w+)"),)


def offending_node(error: BaseException, nodes: Iterable[torch.fx.Node]) -> torch.fx.Node | None:
    """The node of an exported program that a converter's error, or one of its causes, speaks of.

    Args:
        nodes: of torch.fx, in execution order.
    """
    called = [node for node in nodes if node.op == "call_function"]
    for cause in reversed(tuple(_causes(error))):
        for patterns, fits in ((_OPERATORS, _is_operator), (_NODES, _is_node)):
            for pattern in patterns:
                for match in pattern.finditer(str(cause)):
                    found = next((node for node in called if fits(node, match["name"])), None)
                    if found is not None:
                        return found
    return None


def describe(node: torch.fx.Node) -> str:
    """Operator, path of the torch module, and line of the model's code, as far as a torch.fx node knows them."""
    site = named(node)
    module = module_of(site) or module_path(node)
    frame = innermost(frames(str(node.meta.get("stack_trace") or "")))
    parts = [operator_name(node), f"of the module {module!r}" if module else "of the model itself"]
    return " ".join(parts) + (f" at {frame}" if frame is not None else "")


def suffix(error: BaseException, nodes: Iterable[torch.fx.Node]) -> str:
    """`: the culprit is OPERATOR of the module PATH at FILE:LINE`, or nothing where the error does not tell."""
    node = offending_node(error, nodes)
    return "" if node is None else f": the culprit is {describe(node)}"


def operator_name(node: torch.fx.Node) -> str:
    """Name of a node's operator without its overload, such as `aten.fft_fft2`."""
    text = str(node.target)
    return ".".join(text.split(".")[:2]) if text.count(".") > 1 else getattr(node.target, "__name__", text)


def module_path(node: torch.fx.Node) -> str:
    """Path of the innermost torch module that a node belongs to."""
    stack = node.meta.get("nn_module_stack") or {}
    return str(list(stack.values())[-1][0]) if stack else ""


def _causes(error: BaseException) -> Iterable[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__


def _is_operator(node: torch.fx.Node, name: str) -> bool:
    own = operator_name(node).rpartition(".")[2]
    wanted = name.split(".")[1] if "." in name else name
    # A converter may have decomposed it first: prims.bessel_j0 of aten.special_bessel_j0.
    return own == wanted or (len(wanted) > 4 and own.endswith(f"_{wanted}"))


def _is_node(node: torch.fx.Node, name: str) -> bool:
    return bool(node.name == name)
