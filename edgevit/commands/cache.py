"""`edgevit cache`."""

from __future__ import annotations

from typing import Annotated

import typer

from edgevit.commands import _options as o
from edgevit.commands._show import show_answer


def command(
    action: Annotated[
        str,
        typer.Argument(
            metavar="ACTION",
            help="info, clear (remove everything) or prune (what was not used for longest, down to the limit).",
            show_default=False,
        ),
    ] = "info",
    cache: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Another folder than EDGEVIT_CACHE or ~/.cache/edgevit/results."),
    ] = None,
    max_size: Annotated[
        float | None,
        typer.Option(
            metavar="GB", min=0, help="Prune down to this size.  [default: EDGEVIT_CACHE_GB, or 10]"
        ),
    ] = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> int:
    """Show or remove what earlier runs left, so that the next one need not compute it again.

    \b
    Examples:
      edgevit cache
      edgevit cache prune --max-size 2
      edgevit cache clear --cache build/cache
    """
    from edgevit.flows.cache import cache as act

    return show_answer(act(action, cache, max_size), json)
