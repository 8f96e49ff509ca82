"""`edgevit inspect`."""

from __future__ import annotations

from typing import Annotated

import typer

from edgevit.commands import _options as o
from edgevit.commands._settings import Settings, with_settings
from edgevit.commands._show import make_recipe, show_answer


@with_settings("inspect")
def command(
    *,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL_OR_ARTIFACT",
            help="A MODEL as for convert, or a converted file.",
            show_default=False,
        ),
    ],
    settings: Settings,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> int:
    """Show parameters, MACs, operators, bytes per data type, preprocessing and labels.

    \b
    Examples:
      edgevit inspect demo
      edgevit inspect timm:vit_tiny_patch16_224 --random-weights 0
      edgevit inspect dist/demo/tflite/w8a8/model.tflite --json
    """
    wanted = make_recipe({**settings, "model": model})
    from edgevit.flows.inspect import inspect

    return show_answer(inspect(wanted), json)
