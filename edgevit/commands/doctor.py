"""`edgevit doctor`."""

from __future__ import annotations

from edgevit.commands import _options as o
from edgevit.commands._show import show_answer


def command(json: o.Json = False, quiet: o.Quiet = False, verbose: o.Verbose = False) -> int:
    """Show what can be converted, executed and profiled on this machine, and how to install the rest.

    \b
    Example:
      edgevit doctor
    """
    from edgevit.flows.doctor import doctor

    return show_answer(doctor(), json)
