"""`edgevit doctor`: what can be converted, executed and profiled here, and how to get the rest."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import asdict
from importlib import metadata
from importlib.util import find_spec

from edgevit import registries
from edgevit.core.errors import UsageError
from edgevit.core.process.sandbox import Isolation, available
from edgevit.core.requirements import Requirement, requirements
from edgevit.core.results.answer import Answer, Table

Row = tuple[str, str, str]


def doctor() -> Answer:
    """Looks at installed packages and programs; imports none of them."""
    wanted = requirements()
    extras = ("", *sorted({need.extra for need in wanted} - {"", "dev"}))
    missing = {extra: [t for n in wanted if n.extra == extra and (t := _lacking(n))] for extra in extras}
    sources = tuple(_told(lambda n: _source(n, missing), name) for name in registries.SOURCES.names())
    targets = tuple(_told(lambda n: _target(n, missing), name) for name in registries.TARGETS.names())
    runtimes = tuple(_told(_runtime, name) for name in registries.RUNTIMES.names())
    devices = tuple(_device(name) for name in registries.TRANSPORTS.names())
    versions = tuple(
        (need.package, version, need.extra or "base")
        for need in wanted
        if need.extra in extras and (version := _version(need.package))
    )
    system = {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count() or 1,
    }
    isolation = available()
    data = {
        "system": system,
        "isolation": asdict(isolation),
        "load": _data(sources),
        "convert": _data(targets),
        "execute": _data(runtimes),
        "profile": _data(devices),
        "versions": {package: version for package, version, _ in versions},
        "missing": {extra or "base": texts for extra, texts in missing.items() if texts},
    }
    columns = ("name", "here", "how to get it")
    tables = (
        Table("this machine", ("what", "value"), tuple((key, str(value)) for key, value in system.items())),
        Table("kept from models of unknown origin", ("what", "by"), _isolation(isolation)),
        Table("load models from", columns, sources),
        Table("convert to", columns, targets),
        Table("execute with", columns, runtimes),
        Table("profile on", columns, devices),
        Table("versions", ("package", "version", "part of"), versions),
    )
    return Answer(data, tables)


def _isolation(found: Isolation) -> tuple[tuple[str, str], ...]:
    rows = (("writing outside their scratch folder", found.files), ("the network", found.network))
    return tuple((what, "nothing here" if by == "none" else by) for what, by in rows)


def install_command(extra: str) -> str:
    """The command that installs an extra, or the base for an empty name."""
    return f"pip install 'edgevit[{extra}]'" if extra else "pip install edgevit"


def _source(name: str, missing: dict[str, list[str]]) -> Row:
    return _part(name, registries.SOURCES.get(name).extra, missing)


def _target(name: str, missing: dict[str, list[str]]) -> Row:
    target = registries.TARGETS.get(name)
    absent = [module for module in target.modules if find_spec(module) is None]
    if absent and not target.extra:
        return (name, f"no: the Python package {absent[0]!r} is not installed", f"install {absent[0]!r}")
    return _part(name, target.extra, missing)


def _told(row: Callable[[str], Row], name: str) -> Row:
    """A row, or why the plug-in of another package has none."""
    try:
        return row(name)
    except UsageError as error:
        return (name, f"no: {error.message}", error.hint or "")


def _part(name: str, extra: str, missing: dict[str, list[str]]) -> Row:
    lacking = missing.get("", []) + (missing.get(extra, []) if extra else [])
    return (name, "no: " + ", ".join(lacking), install_command(extra)) if lacking else (name, "yes", "")


def _runtime(name: str) -> Row:
    runtime = registries.RUNTIMES.get(name)
    reason = runtime.unavailable()
    if reason is None:
        return (name, "yes", "")
    return (name, f"no: {reason}", install_command(runtime.extra) if "not installed" in reason else "")


def _device(name: str) -> Row:
    if name == "local" or shutil.which(name):
        return (name, "yes", "")
    return (name, f"no: the program {name} is not on the PATH", f"install {name}")


def _data(rows: tuple[Row, ...]) -> list[dict[str, object]]:
    return [
        {
            "name": name,
            "available": here == "yes",
            "reason": here.removeprefix("no: ") if here != "yes" else None,
            "install": how or None,
        }
        for name, here, how in rows
    ]


def _lacking(need: Requirement) -> str:
    version = _version(need.package)
    if version is None:
        return f"{need.package} is not installed"
    if _numbers(version) < _numbers(need.minimum):
        return f"{need.package} {version} is older than {need.minimum}"
    return ""


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    """The release part of a version, `2.10.1+cpu` as (2, 10, 1)."""
    found = []
    for part in version.split("+")[0].split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        found.append(int(digits))
    return tuple(found)
