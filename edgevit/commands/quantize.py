"""`edgevit quantize`."""

from __future__ import annotations

from typing import Annotated

import typer

from edgevit.commands import _options as o
from edgevit.commands._settings import Settings, with_settings
from edgevit.commands._show import make_recipe, show_answer
from edgevit.core.settings.model_text import FORMS


@with_settings(
    "quantize",
    precision="w8, w8a8, ... [default: w8a8]",
    output="Folder for the plans. [default: dist/NAME]",
    dry_run="Print the plan and write nothing.",
)
def command(
    *,
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help=f"{FORMS}.")] = None,
    settings: Settings,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> int:
    """Make the quantization plan without converting: layers, precisions, and what was skipped and why.

    \b
    Examples:
      edgevit quantize demo --to onnx --dry-run
      edgevit quantize --plan dist/demo/plan.json --dry-run
      edgevit quantize timm:vit_tiny_patch16_224 --weights vit.safetensors --calibrate photos/train -o plans
    """
    wanted = make_recipe({**settings, "model": model}, defaults={"precision": "w8a8"})
    from edgevit.flows.quantize import quantize
    from edgevit.report.progress import open_progress

    with open_progress(quiet) as progress:
        answer = quantize(wanted, progress)
    return show_answer(answer, json)
