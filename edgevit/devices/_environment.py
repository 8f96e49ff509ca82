"""A virtual environment on a device: made under another name, and renamed when it is whole."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgevit.core.errors import DeviceError
from edgevit.core.place import Place
from edgevit.devices._shell import quoted, run
from edgevit.devices._survey_script import details
from edgevit.devices.ask import read_python
from edgevit.devices.survey import PythonThere, Version

# Unpacking two hundred megabytes of small files onto a slow card, or a device's pip on a slow network.
_SECONDS: Final = 1800.0
# What `python -m venv` makes, for a Python that comes without that module (PEP 405).
_BY_HAND: Final = """
import os, sys
base, lib = sys._base_executable, "lib/python%d.%d/site-packages" % sys.version_info[:2]
for folder in ("bin", lib):
    os.makedirs(os.path.join(sys.argv[1], folder))
for name in ("python", "python3"):
    os.symlink(base, os.path.join(sys.argv[1], "bin", name))
with open(os.path.join(sys.argv[1], "pyvenv.cfg"), "w") as written:
    written.write("home = %s\\ninclude-system-site-packages = false\\n" % os.path.dirname(base))
"""
_UNPACK: Final = (
    "import site, sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(site.getsitepackages()[0])"
)


@dataclass(frozen=True, slots=True)
class Environment:
    """One that is being made; `python` is its program, `folder` where it lies until it is whole."""

    place: Place
    folder: str
    version: Version

    @property
    def python(self) -> str:
        """Its program."""
        return f"{self.folder}/bin/python"

    def unpack(self, archive: Path) -> None:
        """Push a zip file of packages and unpack it there."""
        remote = f"{self.folder}/site.zip"
        self.place.put(archive, remote)
        command = quoted([self.python, "-c", _UNPACK, remote])
        _do(self.place, f"{command} && rm {quoted([remote])}", "could not unpack the packages")

    def pip(self, requirements: tuple[str, ...]) -> None:
        """Let the device's own pip install packages."""
        flags = (
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
            "--only-binary=:all:",
        )
        what = f"could not install {', '.join(requirements)} by its own pip"
        _do(self.place, quoted([self.python, *flags, *requirements]), what)

    def packages(self, modules: Mapping[str, str]) -> PythonThere:
        """What is in it, each package imported once."""
        done = run(self.place, quoted([self.python, "-c", details(modules), self.place.root]), _SECONDS)
        return read_python(self.python, self.version, done.stdout)


@contextmanager
def new_environment(place: Place, python: PythonThere, with_pip: bool) -> Iterator[Environment]:
    """Make one, which takes the place of `<root>/venv` at the end; if anything fails, nothing of it stays.

    Raises:
        DeviceError: it cannot be made.
        DeviceLostError: the connection broke.
    """
    aside, final = f"{place.root}/venv.part", f"{place.root}/venv"
    if "venv" in python.modules:
        made = quoted([python.path, "-m", "venv", *([] if with_pip else ["--without-pip"]), aside])
    else:
        made = quoted([python.path, "-c", _BY_HAND, aside])
    try:
        _do(
            place,
            f"mkdir -p {quoted([place.root])} && rm -rf {quoted([aside])} && {made}",
            "could not make a virtual environment",
        )
        yield Environment(place, aside, python.version)
        old = f"{final}.old"
        away = f"rm -rf {quoted([old])}; [ ! -e {quoted([final])} ] || mv {quoted([final, old])}"
        rename = f"{away} && mv {quoted([aside, final])} && rm -rf {quoted([old])}"
        _do(place, rename, "could not rename the virtual environment")
    except BaseException:
        with contextlib.suppress(DeviceError):  # the first error is the one to tell
            run(place, f"rm -rf {quoted([aside])}; rmdir {quoted([place.root])} 2>/dev/null")
        raise


def _do(place: Place, script: str, failed: str) -> None:
    done = run(place, script, _SECONDS)
    if done.code != 0:
        said = done.stderr.splitlines() or done.stdout.splitlines()
        why = f": {said[-1][:400]}" if said else ""
        raise DeviceError(
            f"{place.where} {failed}{why}", "run it again once that is mended; nothing was changed"
        )
