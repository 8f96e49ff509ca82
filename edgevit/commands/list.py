"""`edgevit list`."""

from __future__ import annotations

from typing import Annotated

import typer

from edgevit.commands import _options as o
from edgevit.commands._show import show_answer


def command(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="targets, precisions, sources, samples, rewrites, algorithms, methods, metrics, runtimes, "
            "devices, accelerators or mil-ops; without it, some of each.",
            show_default=False,
        ),
    ] = "kinds",
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> int:
    """List everything of one kind, with a line on each.

    \b
    Examples:
      edgevit list
      edgevit list targets
      edgevit list mil-ops --json
    """
    from edgevit.flows.list import list_kind

    return show_answer(list_kind(kind), json)
