"""What a device lacks, each with the command that mends it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from edgevit.core.place import Place
from edgevit.devices import _python
from edgevit.devices._shell import quoted
from edgevit.devices.ask import MAC_MODULES, MODULES
from edgevit.devices.survey import PythonThere, Survey, Version

MACHINES: Final = ("aarch64", "arm64", "x86_64", "amd64")
RUNTIMES: Final = ("onnxruntime", "ai-edge-litert", "coremltools")
# The C library that the libraries of the newest wheel for 64-bit ARM Linux ask for, as `elf_needs.py` reads them. Of
# older devices `--setup` finds out what fits; this is for saying beforehand that the newest does not.
GLIBC_NEEDED: Final = {"onnxruntime 1.32.0": (2, 28), "ai-edge-litert 2.3.0": (2, 34)}
# The agent, a model of some hundred megabytes, and images for one round.
ENOUGH_BYTES: Final = 512 << 20
LITTLE_BYTES: Final = 64 << 20

_INSTALL_PYTHON: Final = {
    "apt-get": "sudo apt-get install python3",
    "dnf": "sudo dnf install python3",
    "pacman": "sudo pacman -S python",
    "zypper": "sudo zypper install python3",
    "apk": "sudo apk add python3",
    "opkg": "opkg install python3",
    "pkg": "pkg install python",
}

Level = Literal["ok", "note", "warning", "missing"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        level: `missing` what no run goes without; `warning` what spoils measurements; `note` what is good to know.
        found: what is there, or what is wrong with it.
        mend: a command, or in words what to do; "" where nothing needs to be done.
    """

    name: str
    level: Level
    found: str
    mend: str = ""


def needed(device: Survey, install: str) -> tuple[Check, ...]:
    """What no run goes without.

    Args:
        install: the command that installs packages there.
    """
    return (
        _system(device),
        _processor(device),
        _python_check(device),
        _c_library(device, install),
        *_packages(device, install),
        _folder(device),
        _free(device.python),
    )


def _system(device: Survey) -> Check:
    found = ", ".join(filter(None, (device.system, f"{device.kernel} {device.release}".strip())))
    if device.kernel in ("Linux", "Darwin"):
        return Check("system", "ok", found)
    return Check(
        "system", "missing", f"{found or 'nothing that it says'}: only Linux, Android and macOS are known"
    )


def _processor(device: Survey) -> Check:
    name = ", ".join(filter(None, (device.machine, device.cpu, " ".join(device.features))))
    narrow = device.bits == 32 or (device.python is not None and device.python.bits == 32)
    if device.machine in MACHINES and not narrow:
        return Check("processor", "ok", name)
    why = "32-bit programs" if device.machine in MACHINES else device.machine or "an unknown processor"
    return Check(
        "processor",
        "missing",
        f"{why}: the runtimes have packages for 64-bit ARM and x86 only",
        "install a 64-bit system, such as Raspberry Pi OS (64-bit)",
    )


def _python_check(device: Survey) -> Check:
    oldest = ".".join(map(str, _python.OLDEST))
    if device.python is not None:
        return Check("Python", "ok", f"{dotted(device.python.version)} ({device.python.path})")
    old = f"only {', '.join(device.old_pythons)}" if device.old_pythons else "none"
    return Check("Python", "missing", f"{old}, the agent needs {oldest} or newer", install_python(device))


def install_python(device: Survey) -> str:
    """How Python gets there, by the package manager that is."""
    if device.android:
        return "LiteRT's benchmark_model needs none: --runner FILE; or install Python in Termux and reach it over ssh"
    if device.mac:
        return f"there: {'brew install python' if 'brew' in device.tools else 'xcode-select --install'}"
    if device.old_pythons:
        return "a newer release of the system there, or a second Python beside it, called python3"
    commands = [command for tool, command in _INSTALL_PYTHON.items() if tool in device.tools]
    return f"there: {commands[0] if commands else 'install Python 3'}"


def _c_library(device: Survey, install: str) -> Check:
    name, version = device.libc
    if device.kernel != "Linux" or device.android:
        return Check("C library", "ok", "the system's")
    if name == "musl":
        why = f"musl {dotted(version)}: the runtimes have packages for glibc only"
        return Check(
            "C library", "missing", why.replace("  ", " "), "use a system with glibc, such as Debian"
        )
    if not version:
        return Check("C library", "note", "it does not say which")
    found = f"glibc {dotted(version)}"
    there = device.python.packages if device.python else {}
    newer = [
        f"{what} needs {dotted(least)}"
        for what, least in GLIBC_NEEDED.items()
        if version < least and what.split()[0] not in there
    ]
    if newer:
        return Check(
            "C library",
            "note",
            f"{found}: {', '.join(newer)}",
            f"an older one that fits: {install}",
        )
    return Check("C library", "ok", found)


def _packages(device: Survey, install: str) -> Iterator[Check]:
    if device.python is None:
        return
    there, broken = device.python.packages, device.python.broken
    working = [name for name in RUNTIMES if name in there and name not in broken]
    for name in MAC_MODULES if device.mac else MODULES:
        if name in broken:
            level: Level = "missing" if name == "numpy" or not working else "warning"
            yield Check(name, level, f"{there[name]} cannot be imported: {broken[name]}", install)
        elif name in there:
            yield Check(name, "ok", there[name] or "yes")
        else:
            level = "missing" if name == "numpy" or not working else "note"
            yield Check(name, level, "not installed", install)


def _folder(device: Survey) -> Check:
    free = "" if device.free_bytes is None else f"{size(device.free_bytes)} free"
    found = f"{device.folder}: {free}" if free else device.folder or "unknown"
    if device.folder and not device.writable:
        return Check(
            "folder",
            "missing",
            f"{device.folder}: we may not write there",
            f"there: sudo chown $(id -u) {quoted([device.folder])}",
        )
    kept = f", {size(device.kept_bytes)} in our folder" if device.kept_bytes >= 1 << 20 else ""
    if device.free_bytes is None or device.free_bytes >= ENOUGH_BYTES:
        return Check("folder", "ok", found + kept)
    level: Level = "missing" if device.free_bytes < LITTLE_BYTES else "warning"
    return Check(
        "folder",
        level,
        f"{found}, a run takes up to {size(ENOUGH_BYTES)}",
        f"make room: see what is large with du -xh {quoted([device.folder])}",
    )


def _free(python: PythonThere | None) -> Check:
    if python is not None and python.in_use:
        return Check(
            "in use",
            "missing",
            "by another run of edgevit",
            "wait until it is done; two at once would disturb each other",
        )
    return Check("in use", "ok", "by no other run of edgevit")


def install_command(place: Place) -> str:
    """The command that installs packages there; a place that names its Python uses the one of edgevit itself."""
    return (
        "pip install edgevit" if place.python else f"edgevit doctor --device {quoted([place.where])} --setup"
    )


def dotted(version: Version) -> str:
    """(3, 11, 2) as 3.11.2."""
    return ".".join(map(str, version))


def size(count: int) -> str:
    """Bytes for people, in decimal units."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
