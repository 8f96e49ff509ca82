"""Packages for another computer, downloaded by this one's pip: the newest whose libraries really fit there."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgevit.core.errors import StepError
from edgevit.core.process.pip import last_error, pip, refuse_without_network
from edgevit.devices.elf_needs import glibc_needed
from edgevit.devices.survey import PythonThere, Survey, Version

# The oldest glibc that a platform tag of PyPI names by its version.
_OLDEST_GLIBC: Final = 17
_DATE: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What wheels have to fit.

    Attributes:
        platforms: tags, the most demanding first.
        glibc: of the device; () where that says nothing.
    """

    python: Version
    platforms: tuple[str, ...]
    glibc: Version

    def flags(self) -> tuple[str, ...]:
        """For pip."""
        version = ".".join(map(str, self.python[:2]))
        platforms = (word for tag in self.platforms for word in ("--platform", tag))
        return ("--only-binary=:all:", "--implementation", "cp", "--python-version", version, *platforms)


def wanted(device: Survey, python: PythonThere) -> Wanted | None:
    """Which wheels fit a device; None for one that PyPI has none for."""
    machine = {"arm64": "aarch64", "amd64": "x86_64"}.get(device.machine, device.machine)
    name, glibc = device.libc
    if not python.tag.startswith("cpython") or device.android:
        return None
    if device.mac:
        major = re.search(r"\d+", device.system)
        own = "arm64" if machine == "aarch64" else machine
        return Wanted(python.version, (f"macosx_{major[0]}_0_{own}",), ()) if major else None
    if name != "glibc" or glibc[:1] != (2,) or len(glibc) < 2:
        return None
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(glibc[1], _OLDEST_GLIBC - 1, -1)]
    return Wanted(python.version, (*tags, f"manylinux2014_{machine}"), glibc) if tags else None


def newest_fitting(package: str, want: Wanted, folder: Path) -> tuple[str, str]:
    """The newest version whose libraries the device can load, or "" with the reason why there is none.

    Wheels promise an older C library than they need, so they are looked into. What a package needs grows with its
    version, which makes halving the list enough.

    Args:
        folder: gets the wheels that were looked into.

    Raises:
        StepError: pip has no connection to its index.
    """
    listed = pip("index", "versions", package, *want.flags(), hint=_HINT)
    found = re.search(r"Available versions: (.+)", listed.stdout)
    if found is None:
        refuse_without_network(listed, _HINT)
        version = ".".join(map(str, want.python[:2]))
        return "", f"{package} has no version for Python {version} and {want.platforms[0]}"
    versions = found[1].split(", ")  # newest first
    if not want.glibc:
        return versions[0], ""
    fits, too_new, why = len(versions), -1, ""
    look = 0
    while too_new + 1 < fits:
        need, file = _need(package, versions[look], want, folder)
        if need <= want.glibc:
            fits = look
        else:
            too_new = look
            why = f"{package} {versions[look]} needs glibc {'.'.join(map(str, need))} ({file})"
        look = (too_new + fits) // 2
    return (versions[fits], why) if fits < len(versions) else ("", why)


def install(packages: Sequence[str], want: Wanted, wheels: Path, site: Path) -> None:
    """Fill `site` with packages, as `name==version`, and what they depend on.

    Raises:
        StepError: pip could not, or what it chose does not fit.
    """
    done = pip(
        "install",
        "--target",
        str(site),
        "--no-compile",
        "--find-links",
        str(wheels),
        *want.flags(),
        *packages,
        hint=_HINT,
    )
    if done.returncode != 0:
        refuse_without_network(done, _HINT)
        raise StepError(f"pip found no set of packages with {', '.join(packages)}: {last_error(done)}", _HINT)
    need, file = glibc_needed(site)
    if want.glibc and need > want.glibc:
        raise StepError(
            f"{file} needs glibc {'.'.join(map(str, need))}, which is newer than the device's", _HINT
        )


def pack(site: Path, archive: Path) -> int:
    """Zip a folder, the same bytes from the same files; how many bytes it has unpacked."""
    total = 0
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(site.rglob("*")):
            if path.is_file():
                content = path.read_bytes()
                total += len(content)
                info = zipfile.ZipInfo(path.relative_to(site).as_posix(), _DATE)
                packed.writestr(info, content, zipfile.ZIP_DEFLATED)
    return total


_HINT: Final = "--setup-online lets the device's own pip install them"


def _need(package: str, version: str, want: Wanted, folder: Path) -> tuple[Version, str]:
    """What the libraries in a wheel ask for."""
    into = folder / f"{package}-{version}"
    done = pip(
        "download", "--no-deps", "--dest", str(into), *want.flags(), f"{package}=={version}", hint=_HINT
    )
    if done.returncode != 0:
        refuse_without_network(done, _HINT)
        raise StepError(f"pip could not download {package} {version}: {last_error(done)}", _HINT)
    unpacked = into / "unpacked"
    for wheel in into.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked, [name for name in archive.namelist() if ".so" in name])
        wheel.rename(folder / wheel.name)
    return glibc_needed(unpacked)
