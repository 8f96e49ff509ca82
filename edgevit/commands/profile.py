"""`edgevit profile`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgevit.commands import _options as o
from edgevit.commands._settings import Settings, with_settings
from edgevit.commands._show import make_recipe, show_answer


@with_settings("profile")
def command(
    *,
    artifact: Annotated[Path, typer.Argument(metavar="ARTIFACT", help=".onnx, .tflite or .mlpackage.")],
    device: Annotated[
        str, typer.Option(metavar="WHERE", help="Where to measure: local (`edgevit list devices` names all).")
    ] = "local",
    runs: Annotated[
        int, typer.Option(metavar="N", min=1, max=100_000, help="Number of timed runs after warm-up.")
    ] = 50,
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
    """Measure the latency of one file: distribution, time to load, threads.

    \b
    Examples:
      edgevit profile dist/demo/onnx/w8a8/model.onnx
      edgevit profile dist/demo/tflite/fp16/model.tflite --device local --runs 200 --threads 1 --json
    """
    wanted = make_recipe({**settings, "model": str(artifact), "threads": threads})
    from edgevit.flows.profile import profile
    from edgevit.report.progress import open_progress

    with open_progress(quiet) as progress:
        answer = profile(artifact, device, runs, wanted, progress)
    return show_answer(answer, json)
