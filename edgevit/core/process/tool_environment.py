"""A virtual environment of a tool that does not belong into edgevit's own, such as a vendor's compiler.

It is kept in the user's cache as `edgevit/NAME-VERSION`. It is made under another name and renamed once the tool has
been imported in it, so that no half of one is ever used.
"""

from __future__ import annotations

import subprocess
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgevit.core.disk.space import storage_errors
from edgevit.core.errors import StepError
from edgevit.core.foreign import brief
from edgevit.core.process.pip import last_error, pip, refuse_without_network
from edgevit.core.process.sandbox import cache_home
from edgevit.core.process.scratch import owned
from edgevit.core.progress import Progress

_AGAIN: Final = "run it again once that is mended; nothing was changed"
_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Tool:
    """A package of PyPI in one version, which edgevit knows how to read the answers of.

    Attributes:
        name: of its folder.
        package: as pip knows it.
        module: what `import` must find.
    """

    name: str
    package: str
    version: str
    module: str

    def __str__(self) -> str:
        return f"{self.package} {self.version}"


def folder_of(tool: Tool) -> Path:
    """Where its environment is, or would be."""
    return Path(cache_home()) / "edgevit" / f"{tool.name}-{tool.version}"


def missing(tool: Tool) -> str | None:
    """None where its environment is there, else the reason in one sentence."""
    if python_of(tool).exists():
        return None
    return f"{tool} needs an environment of its own, {folder_of(tool)}, which is not there"


def python_of(tool: Tool) -> Path:
    """The Python that has the tool."""
    return folder_of(tool) / "bin" / "python"


def make(tool: Tool, progress: Progress) -> Path:
    """Make its environment by this Python and its pip, unless it is there; returns its folder.

    Raises:
        MissingDependencyError, StepError: pip is not there, or could not install the tool.
        StorageError: no space for it.
    """
    final = folder_of(tool)
    if missing(tool) is None:
        return final
    with storage_errors(final.parent):
        final.parent.mkdir(parents=True, exist_ok=True)
    with owned(final.parent, f".{final.name}-", ".part") as aside:
        progress.stage(f"installing {tool} into {final}")
        with storage_errors(final.parent):
            venv.create(aside / "venv", symlinks=True, with_pip=False)
        python = aside / "venv" / "bin" / "python"
        wanted = f"{tool.package}=={tool.version}"
        done = pip("--python", str(python), "install", "--quiet", wanted, hint=_AGAIN)
        if done.returncode != 0:
            refuse_without_network(done, _AGAIN)
            raise StepError(f"pip could not install {tool}: {last_error(done)}", _AGAIN)
        _import(tool, python)
        with storage_errors(final.parent):
            (aside / "venv").rename(final)
    return final


def _import(tool: Tool, python: Path) -> None:
    done = subprocess.run(
        [str(python), "-c", f"import {tool.module}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise StepError(f"{tool} was installed and cannot be imported: {brief(RuntimeError(said))}", _AGAIN)
