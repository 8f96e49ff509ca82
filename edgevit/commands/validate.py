"""`edgevit validate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgevit.commands import _options as o
from edgevit.commands._settings import Settings, with_settings
from edgevit.commands._show import make_recipe, show_report


@with_settings(
    "validate",
    output="Keep it: a bundle of these files, with report, page and the answers of each image. [default: nothing is "
    "written]",
)
def command(
    *,
    path: Annotated[
        Path,
        typer.Argument(metavar="BUNDLE_OR_ARTIFACT", help="A bundle, or one .onnx, .tflite or .mlpackage."),
    ],
    reference: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="The float model, as for `edgevit convert`.",
            show_default=False,
            rich_help_panel="Model",
        ),
    ],
    settings: Settings,
    file_preprocess: o.FilePreprocess = None,
    setup: o.Setup = False,
    setup_online: o.SetupOnline = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> int:
    """Execute files made earlier, or by other tools, and compare them with the float model.

    \b
    Examples:
      edgevit validate dist/demo --reference demo --evaluate demo
      edgevit validate model.onnx --reference timm:vit_tiny_patch16_224 --weights vit.safetensors \\
          --evaluate photos/val --min-agreement 98
      edgevit validate other/model.tflite --reference hf:./my-model --evaluate photos/val -o dist/other
    """
    from edgevit.core.settings.parse import parse_pairs
    from edgevit.core.settings.recipe import FILE_PREPROCESS_KEYS

    fed = parse_pairs("--file-preprocess", file_preprocess or [], FILE_PREPROCESS_KEYS)
    wanted = make_recipe({**settings, "model": reference})
    source = o.setup_source(setup, setup_online, *wanted.device)
    from edgevit.flows.doctor_device import set_up
    from edgevit.flows.validate import validate
    from edgevit.report.progress import open_progress

    with open_progress(quiet, verbose=verbose) as progress:
        for device in wanted.device:
            set_up(device, source, progress)
        report = validate(path, wanted, progress, fed)
    return show_report(report, json)
