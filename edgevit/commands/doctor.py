"""`edgevit doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from edgevit.commands import _options as o
from edgevit.commands._show import show_answer


def command(
    device: Annotated[
        str,
        typer.Option(
            metavar="WHERE",
            help="Look at a device instead, for example ssh://pi@board (`edgevit list devices` names all kinds).",
        ),
    ] = "",
    setup: o.Setup = False,
    setup_online: o.SetupOnline = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> int:
    """Show what can be converted, executed and profiled, here or on a device, and how to install the rest.

    A device that lacks something which no run goes without is exit code 3.

    \b
    Examples:
      edgevit doctor
      edgevit doctor --device ssh://pi@raspberrypi.local
      edgevit doctor --device ssh://pi@raspberrypi.local --setup
    """
    source = o.setup_source(setup, setup_online, device)
    if not device:
        from edgevit.flows.doctor import doctor

        return show_answer(doctor(), json)
    from edgevit.flows.doctor_device import doctor_device
    from edgevit.report.progress import open_progress

    with open_progress(quiet) as progress:
        answer = doctor_device(device, source, progress)
    return show_answer(answer, json)
