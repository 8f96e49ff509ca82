"""A Python on the device that can run the agent."""

from __future__ import annotations

import re
from typing import Final

from edgevit.core.errors import DeviceError
from edgevit.core.place import Place
from edgevit.devices._shell import quoted, run

OLDEST: Final = (3, 8)
_ASK: Final = (
    "import sys; v = sys.version_info; "
    f"print('%s %d.%d.%d' % ('new' if v[:2] >= {OLDEST} else 'old', v[0], v[1], v[2]))"
)
_HASH: Final = "import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())"
# Where Homebrew and python.org install it on a Mac, whose PATH over ssh has neither.
_ELSEWHERE: Final = ("/opt/homebrew/bin/python3", "/usr/local/bin/python3")
# On a Mac without the developer tools /usr/bin/python3 is no Python: it opens a window that offers them.
_SEARCH: Final = r"""
used=
for p in $PYTHONS; do
  f=$(command -v "$p") || continue
  [ "$f" = /usr/bin/python3 ] && [ "$(uname -s)" = Darwin ] && ! xcode-select -p >/dev/null 2>&1 && continue
  v=$("$f" -c "$ASK" 2>/dev/null </dev/null) || continue
  printf '%s %s\n' "$v" "$f"
  case $v in new*) used=$f; break ;; esac
done
"""


def search(place: Place) -> str:
    """A piece of a script that looks for a Python the agent can use: the environment that `--setup` made first.

    It prints a line for each Python, up to the first that will do, and leaves its path in the variable `used`.
    """
    tried = (place.python,) if place.python else ("$own", "python3", "python", *_ELSEWHERE)
    names = "".join(f'"{name}" ' if name == "$own" else f"{quoted([name])} " for name in tried)
    own = quoted([f"{place.root}/venv/bin/python"])
    return f"own={own}\nASK={quoted([_ASK])}{_SEARCH.replace('$PYTHONS', names.strip())}"


def found(said: str) -> tuple[str, str, tuple[str, ...]]:
    """What `search` printed: path and version of the Python to use, "" for none, and the versions that are too old."""
    lines = re.findall(r"^(new|old) (\d+\.\d+\.\d+) (/.+)$", said, re.MULTILINE)
    new = [(path, version) for age, version, path in lines if age == "new"]
    path, version = new[0] if new else ("", "")
    return path, version, tuple(version for age, version, _ in lines if age == "old")


def find(place: Place) -> str:
    """The environment that `--setup` made, else the system's Python.

    Raises:
        DeviceError: there is none, or only older ones than OLDEST.
        DeviceLostError: the connection broke.
    """
    path, _, old = found(run(place, search(place)).stdout)
    if path:
        return path
    needed = ".".join(map(str, OLDEST))
    what = (
        f"has Python {', '.join(old)} only, the agent needs {needed}"
        if old
        else f"has no Python {needed} or newer"
    )
    raise DeviceError(
        f"{place.where} {what}", f"see how to get it there: edgevit doctor --device {quoted([place.where])}"
    )


def sha256(place: Place, python: str, remote: str) -> str:
    """Digest of a file on the device, "" where there is none."""
    done = run(place, quoted([python, "-c", _HASH, remote]))
    return done.stdout.strip().splitlines()[-1] if done.code == 0 and done.stdout.strip() else ""
