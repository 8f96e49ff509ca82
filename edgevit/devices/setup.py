"""Install the runtimes on a device, in a virtual environment of our own that stays: `<root>/venv`.

It is made under another name and renamed once every package in it has been imported there, so that no half of one is
ever used. Where what is needed lies in it already, nothing is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from edgevit.core.errors import DeviceError
from edgevit.core.place import Place
from edgevit.core.process.scratch import scratch
from edgevit.core.progress import Progress
from edgevit.devices import _wheels
from edgevit.devices._environment import new_environment
from edgevit.devices._wheels import Wanted
from edgevit.devices.ask import MAC_MODULES, MODULES, survey
from edgevit.devices.checks import dotted, install_command, needed, size
from edgevit.devices.survey import PythonThere, Survey

From = Literal["here", "device"]

_ATTEMPTS: Final = 12
_SPARE_BYTES: Final = 64 << 20


def setup(place: Place, source: From, progress: Progress) -> tuple[str, ...]:
    """Install numpy and every runtime that there is a fitting version of.

    Args:
        source: wheels that this computer downloads and pushes, or the device's own pip and network.
        progress: told what is done, and which versions were chosen why.

    Returns:
        What was installed, as `name version`; nothing where all was there.

    Raises:
        DeviceError: there is no Python, no space or no package for it; nothing was changed.
        StepError: this computer's pip could not download what is needed; nothing was changed.
        DeviceLostError: the connection broke; the next `--setup` begins anew.
    """
    progress.stage(f"looking at {place.where}")
    found = survey(place)
    python = _usable(found, place)
    modules = MAC_MODULES if found.mac else MODULES
    lacking = [name for name in modules if name not in python.packages or name in python.broken]
    if not lacking:
        return ()
    if place.python:
        raise DeviceError(
            f"{place.where} uses the Python that edgevit runs in", f"pip install {' '.join(lacking)}"
        )
    wheels = _wheels.wanted(found, python)
    if wheels is None:
        raise DeviceError(
            f"PyPI has no runtimes for {found.system or found.kernel} on {found.machine} with {python.tag}",
            "install them there by hand: numpy and onnxruntime or ai-edge-litert",
        )
    if source == "device":
        return _from_device(place, python, modules, progress)
    return _from_here(place, found, python, modules, wheels, progress)


def _usable(found: Survey, place: Place) -> PythonThere:
    """Its Python, where everything else that packages need is there as well."""
    for check in needed(found, install_command(place)):
        if check.level == "missing" and check.name not in MAC_MODULES:
            raise DeviceError(f"{place.where}: {check.name}: {check.found}", check.mend)
    assert found.python is not None  # one of the checks
    return found.python


def _from_here(
    place: Place,
    found: Survey,
    python: PythonThere,
    modules: Mapping[str, str],
    want: Wanted,
    progress: Progress,
) -> tuple[str, ...]:
    with scratch() as folder:
        chosen: dict[str, str] = {}
        for name in modules:
            if name == "numpy":  # pip's choice: its wheels say truly what they need
                continue
            progress.stage(f"choosing {name} for {describe(found, python)}")
            version, why = _wheels.newest_fitting(name, want, folder)
            if version:
                chosen[name] = version
                progress.note(f"taking {name} {version}" + (f": {why}" if why else ""))
            else:
                progress.note(f"without {name}: {why}")
        if not chosen:
            raise DeviceError(
                f"no version of any runtime fits {describe(found, python)}",
                "a newer release of the system there brings a newer C library and Python",
            )
        if chosen.keys() <= python.packages.keys() - python.broken.keys():
            return ()
        progress.stage("downloading what they need")
        site, archive = folder / "site", folder / "site.zip"
        _wheels.install(("numpy", *map("==".join, chosen.items())), want, folder, site)
        unpacked = _wheels.pack(site, archive)
        _room(found, archive.stat().st_size + unpacked + _SPARE_BYTES, place)
        progress.stage(f"pushing {size(archive.stat().st_size)} to {place.where}")
        with new_environment(place, python, with_pip=False) as made:
            made.unpack(archive)
            progress.stage("importing the packages there")
            return _all_work(made.packages(modules), ("numpy", *chosen), place)


def _from_device(
    place: Place, python: PythonThere, modules: Mapping[str, str], progress: Progress
) -> tuple[str, ...]:
    """By the device's pip, which believes what wheels promise: what cannot be imported there is asked for older."""
    if "ensurepip" not in python.modules:
        raise DeviceError(
            f"the Python of {place.where} comes without pip",
            "there: sudo apt-get install python3-venv; or --setup alone: this computer then downloads",
        )
    asked = {name: name for name in modules}
    with new_environment(place, python, with_pip=True) as made:
        for _ in range(_ATTEMPTS):
            progress.stage(f"{place.where} installs {', '.join(asked.values())}")
            made.pip(tuple(asked.values()))
            there = made.packages(modules)
            older = {name: there.packages[name] for name, said in there.broken.items() if "GLIBC_" in said}
            if not older:
                break
            for name, version in older.items():
                progress.note(f"{name} {version} does not fit: {there.broken[name]}")
                asked[name] = f"{name}<{version}"
        return _all_work(there, tuple(modules), place)


def _all_work(there: PythonThere, names: tuple[str, ...], place: Place) -> tuple[str, ...]:
    for name in names:
        if name in there.broken or name not in there.packages:
            why = there.broken.get(name, "it was not installed")
            raise DeviceError(f"{place.where} cannot import {name} {there.packages.get(name, '')}: {why}", "")
    return tuple(f"{name} {there.packages[name]}" for name in names)


def _room(found: Survey, wanted: int, place: Place) -> None:
    if found.free_bytes is not None and found.free_bytes < wanted:
        raise DeviceError(
            f"{place.where} has {size(found.free_bytes)} free below {found.folder}, the runtimes need {size(wanted)}",
            "make room there, and run it again",
        )


def describe(found: Survey, python: PythonThere) -> str:
    """What packages have to fit, in words."""
    libc = f", {found.libc[0]} {dotted(found.libc[1])}" if found.libc[0] else ""
    return f"Python {dotted(python.version[:2])} on {found.machine}{libc}"
