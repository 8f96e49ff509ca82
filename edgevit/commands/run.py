"""`edgevit run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgevit.commands import _options as o
from edgevit.commands._settings import Settings, with_settings
from edgevit.commands._show import make_recipe, show_answer


@with_settings("run")
def command(
    *,
    artifact: Annotated[Path, typer.Argument(metavar="ARTIFACT", help=".onnx, .tflite or .mlpackage.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")],
    top: Annotated[int, typer.Option(metavar="N", min=1, help="Number of classes to print.")] = 5,
    threads: Annotated[
        int,
        typer.Option(
            metavar="N", parser=o.one_count, help="Threads; 0 for all cores.", rich_help_panel="Resources"
        ),
    ] = 0,
    settings: Settings,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> int:
    """Classify images with one file, using the preprocessing and labels stored in it.

    \b
    Examples:
      edgevit run dist/demo/onnx/w8a8/model.onnx shoe.jpg
      edgevit run dist/demo/coreml/fp16/model.mlpackage *.png --top 3 --json
    """
    wanted = make_recipe({**settings, "model": str(artifact), "threads": threads})
    from edgevit.flows.run import run

    return show_answer(run(artifact, tuple(images), top, wanted), json)
