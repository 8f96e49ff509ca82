"""`edgevit verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgevit.commands import _options as o
from edgevit.commands._show import show_answer


def command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A folder that `edgevit convert` wrote.")],
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> int:
    """Check a bundle against its manifest. Exit code 1 if a file is missing, changed or was added.

    \b
    Example:
      edgevit verify dist/demo
    """
    from edgevit.flows.verify import verify

    return show_answer(verify(bundle), json)
