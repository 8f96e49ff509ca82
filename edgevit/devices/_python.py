"""A Python on the device that can run the agent."""

from __future__ import annotations

from typing import Final

from edgevit.core.errors import DeviceError
from edgevit.core.place import Place
from edgevit.devices._shell import quoted, run

OLDEST: Final = (3, 8)
_ASK: Final = "import sys; print('%d.%d' % sys.version_info[:2])"
_HASH: Final = "import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())"


def find(place: Place) -> str:
    """The environment that `--setup` made, else the system's Python.

    Raises:
        DeviceError: there is none, or only older ones than OLDEST.
        DeviceLostError: the connection broke.
    """
    own = f"{place.root}/venv/bin/python"
    tried = quoted([own, "python3", "python"])
    script = f'for p in {tried}; do v=$("$p" -c {quoted([_ASK])} 2>/dev/null) && echo "$p $v"; done; true'
    old = ""
    for line in run(place, script).stdout.splitlines():
        path, _, version = line.rpartition(" ")
        major, _, minor = version.partition(".")
        if path not in (own, "python3", "python") or not (major.isdecimal() and minor.isdecimal()):
            continue  # what a login shell prints besides
        if (int(major), int(minor)) >= OLDEST:
            return path
        old = version
    needed = ".".join(map(str, OLDEST))
    what = f"has Python {old} only, the agent needs {needed}" if old else f"has no Python {needed} or newer"
    raise DeviceError(f"{place.where} {what}", "install it there: sudo apt-get install python3 python3-venv")


def sha256(place: Place, python: str, remote: str) -> str:
    """Digest of a file on the device, "" where there is none."""
    done = run(place, quoted([python, "-c", _HASH, remote]))
    return done.stdout.strip().splitlines()[-1] if done.code == 0 and done.stdout.strip() else ""
