"""Android's fixed-performance mode: clocks that stay where they are, lower than the highest.

Android 11 and newer, where the phone's maker implements it; nobody needs root for it:
https://developer.android.com/games/optimize/adpf/fixed-performance-mode. There is no way to ask whether it is on, so it
is off afterwards, which is what it is unless somebody switched it on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgevit.core.errors import DeviceError
from edgevit.core.foreign import printable
from edgevit.core.place import Place
from edgevit.core.process.interrupt import shielded
from edgevit.devices._shell import run

_COMMAND = "cmd power set-fixed-performance-mode-enabled"
_SECONDS = 30.0


@contextmanager
def fixed_clocks(place: Place) -> Iterator[str]:
    """Switch it on for as long as the block takes, and off again, however that ends.

    Yields:
        "", or why the phone refuses it.

    Raises:
        DeviceError: it can no longer be switched off, because the phone is gone; the hint is the command.
    """
    done = run(place, f"{_COMMAND} true 2>&1", _SECONDS)
    said = printable(done.stdout.strip().partition("\n")[0][:200])
    if done.code != 0:
        yield said or f"it ends with code {done.code}"
        return
    try:
        yield ""
    except DeviceError as error:
        error.hint = _and_off(place, error.hint)
        raise
    except BaseException:
        _and_off(place, "")
        raise
    else:
        with shielded():
            run(place, f"{_COMMAND} false 2>&1", _SECONDS)


def _and_off(place: Place, hint: str) -> str:
    """Switch it off after a failure; the hint says how to do it where that fails too."""
    with shielded():
        try:
            run(place, f"{_COMMAND} false 2>&1", _SECONDS)
        except DeviceError:
            return f"{hint}; its clocks may still be fixed: adb shell {_COMMAND} false".removeprefix("; ")
    return hint
