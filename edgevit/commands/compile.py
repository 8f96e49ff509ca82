"""`edgevit compile`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgevit.commands import _options as o
from edgevit.commands._show import show_answer


def command(
    artifact: Annotated[
        Path | None,
        typer.Argument(
            metavar="ARTIFACT", help="A converted file, or a bundle with one.", show_default=False
        ),
    ] = None,
    accelerator: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="ACCELERATOR",
            help="Such as ethos-u85-1024, ethos-u55-128 or qnn-v75.",
            show_default=False,
        ),
    ] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Keep the compiled file.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Tell the compiler, such as system_config=Ethos_U85_SYS_DRAM_High. Repeatable.",
        ),
    ] = None,
    setup: Annotated[
        bool,
        typer.Option(
            "--setup", help="Install the compiler first, in an environment of its own that is kept."
        ),
    ] = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> int:
    """Compile a converted file for an NPU: which operators run on it, which on the CPU and why.

    Cycles and memory are the compiler's estimates; nothing is executed.

    \b
    Examples:
      edgevit compile --for ethos-u85-1024 --setup
      edgevit compile dist/demo/tflite/w8a8/model.tflite --for ethos-u85-1024
      edgevit compile model.tflite --for ethos-u55-128 --output model_vela.tflite --json
    """
    from edgevit.core.settings.parse import parse_pairs
    from edgevit.flows.compile import compile_for
    from edgevit.report.progress import open_progress

    options = parse_pairs("--option", option or [])
    with open_progress(quiet) as progress:
        answer = compile_for(artifact, accelerator, options, output, setup, progress)
    return show_answer(answer, json)
