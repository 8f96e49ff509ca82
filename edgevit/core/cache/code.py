"""What every result depends on besides what was asked: this code, the installed packages, the processor.

Versions alone would not do: a checkout changes without one, and so does a plug-in that is installed editable. So the
sources of edgevit and of packages that bring plug-ins are read. All installed versions count, not only
those that a step imports: which a library imports in its turn nobody can list.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_OWN: Final = ("edgevit", "converters", "calibration")
# Settings of libraries that change what they compute; ours but for the place of the cache.
_PREFIXES: Final = (
    "ATEN_",
    "DNNL_",
    "EDGEVIT_",
    "GLIBC_",
    "KMP_",
    "MKL_",
    "NPY_",
    "OMP_",
    "OPENBLAS_",
    "ONEDNN_",
    "ORT_",
    "PYTORCH_",
    "TF_",
    "TFLITE_",
    "TORCH_",
    "XNNPACK_",
)
# Libraries set the latter in their own process when they are imported, and no value hangs on them.
_NOT: Final = ("EDGEVIT_CACHE", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "TF_CPP_")
_SKIPPED: Final = frozenset({"__pycache__", ".git"})


@cache
def code_facts() -> Mapping[str, object]:
    """Plain data for a `Key`. Those of this process, which is the same Python as its steps."""
    return {
        "code": _digest((name, _folder_of(name)) for name in (*_OWN, *_plugin_packages())),
        "packages": _installed(),
        "python": sys.version,
        "processor": _processor(),
        "environment": sorted(
            f"{name}={value}"
            for name, value in os.environ.items()
            if name.startswith(_PREFIXES) and not name.startswith(_NOT)
        ),
    }


def _installed() -> list[str]:
    """The names of installed packages with their versions, as the folders of their metadata are called."""
    found = set()
    for place in sys.path:
        folder = Path(place or ".")
        if folder.is_dir():
            found |= {path.name for path in folder.iterdir() if path.suffix in (".dist-info", ".egg-info")}
    return sorted(found)


def _plugin_packages() -> tuple[str, ...]:
    points = entry_points()
    groups = (group for group in points.groups if group.startswith("edgevit."))
    modules = {point.module.partition(".")[0] for group in groups for point in points.select(group=group)}
    return tuple(sorted(modules - {*_OWN}))


def _folder_of(package: str) -> Path | None:
    """The folder of a package, the file of a module; None where it is not there."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    places = spec.submodule_search_locations
    found = next(iter(places), None) if places is not None else spec.origin
    return None if found is None else Path(found)


def _digest(packages: Iterable[tuple[str, Path | None]]) -> str:
    digest = hashlib.sha256()
    for name, place in packages:
        digest.update(f"{name}\0".encode())
        for path in _files(place):
            content = path.read_bytes()
            inner = path.name if place is None or path == place else path.relative_to(place).as_posix()
            digest.update(f"{inner}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def _files(place: Path | None) -> list[Path]:
    if place is None or not place.is_dir():
        return [] if place is None or not place.is_file() else [place]
    found = []
    for parent, folders, names in os.walk(place):
        folders[:] = sorted(set(folders) - _SKIPPED)
        paths = (Path(parent) / name for name in sorted(names))
        found += [path for path in paths if path.is_file()]  # editors leave links that lead nowhere
    return found


def _processor() -> list[str]:
    """Its kind and what it can do: kernels are chosen by that, and round in other ways."""
    known = [platform.system(), platform.machine(), platform.processor()]
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return known
    wanted = ("model name", "flags", "Features", "CPU part")
    found = {line.partition(":")[0].strip(): line for line in reversed(lines)}
    return known + [found[name] for name in wanted if name in found]
