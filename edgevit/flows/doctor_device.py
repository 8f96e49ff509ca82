"""`edgevit doctor --device WHERE`: what a device is, what it lacks, and what would spoil a measurement there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from edgevit.core._plain import to_plain
from edgevit.core.progress import Progress
from edgevit.core.results.answer import Answer, Table
from edgevit.devices.ask import survey
from edgevit.devices.checks import Check, install_command, needed
from edgevit.devices.disturbances import disturbances
from edgevit.devices.setup import From, setup
from edgevit.devices.survey import Survey
from edgevit.flows._devices.sessions import transport_of

LACKING: Final = 3
Setup = Literal["no"] | From


def doctor_device(where: str, source: Setup, progress: Progress) -> Answer:
    """Look at a device, without a Python there; with a `source` of packages, install the runtimes first.

    Returns:
        Exit code LACKING where something is missing that no run goes without.

    Raises:
        UsageError: an unknown kind of device.
        DeviceError, DeviceLostError: it cannot be reached, does not answer, or cannot be set up.
        StepError: this computer cannot download what is to be installed.
    """
    installed = set_up(where, source, progress)
    progress.stage(f"looking at {where}")
    with transport_of(where).open(where) as place:
        found = survey(place)
        wanted, state = needed(found, install_command(place)), disturbances(found)
    ready = all(check.level != "missing" for check in wanted)
    data = {
        "device": where,
        "ready": ready,
        "installed": list(installed),
        "needed": [to_plain(check) for check in wanted],
        "state": [to_plain(check) for check in state],
        "survey": to_plain(found),
    }
    columns = ("name", "there", "how to mend it")
    tables = (
        Table(f"{where}: {_name(found)}", columns, _rows(wanted)),
        Table("how it is now", columns, _rows(state)),
    )
    return Answer(data, tables if state else tables[:1], 0 if ready else LACKING)


def set_up(where: str, source: Setup, progress: Progress) -> tuple[str, ...]:
    """Install the runtimes on a device, unless they are there; raises as `doctor_device` does.

    Returns:
        What was installed, as `name version`.
    """
    if source == "no":
        return ()
    with transport_of(where).open(where) as place:
        installed = setup(place, source, progress)
    progress.note(
        f"installed on {where}: {', '.join(installed)}" if installed else f"{where} has all that it needs"
    )
    return installed


def _name(found: Survey) -> str:
    return found.model or found.cpu or found.machine or "a device that does not say what it is"


def _rows(checks: Sequence[Check]) -> tuple[tuple[str, str, str], ...]:
    return tuple((check.name, _words(check), check.mend) for check in checks)


def _words(check: Check) -> str:
    return f"no: {check.found}" if check.level == "missing" else check.found
