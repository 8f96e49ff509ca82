"""Which line of the user's model is to blame: read from the text of a traceback."""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

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
