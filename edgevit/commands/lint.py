"""`edgevit lint`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgevit.commands import _options as o
from edgevit.commands._settings import Settings, with_settings
from edgevit.commands._show import make_recipe, show_answer


@with_settings("lint")
def command(
    *,
    artifact: Annotated[
        Path,
        typer.Argument(
            metavar="ARTIFACT_OR_BUNDLE",
            help="A .onnx, .tflite or .mlpackage, or all of a bundle.",
            show_default=False,
        ),
    ],
    backends: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            metavar="WHAT",
            help="Accelerator: litert-gpu, nnapi, coreml-ne, ... (`edgevit list accelerators`). Repeatable. "
            "[default: all that take the format]",
        ),
    ] = None,
    settings: Settings,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> int:
    """Find the operators that will leave an accelerator, why, and in which module of the model.

    Each finding is marked compiler or rule: said by the vendor's own compiler or emulator, or by a rule that the
    vendor has published. Nothing is executed. Exit code 0: nothing leaves; 1: an operator leaves; 3: a checker
    that was asked for is missing or failed.

    \b
    Examples:
      edgevit lint dist/demo
      edgevit lint dist/demo/tflite/fp16/model.tflite --for litert-gpu
      edgevit lint model.onnx --for nnapi --json
    """
    wanted = make_recipe({**settings, "model": str(artifact)})
    from edgevit.flows.lint import lint
    from edgevit.report.progress import open_progress

    with open_progress(quiet) as progress:
        answer = lint(artifact, backends or (), wanted, progress)
    return show_answer(answer, json)
