"""`edgevit convert`."""

from __future__ import annotations

from typing import Annotated

import typer

from edgevit.commands import _options as o
from edgevit.commands._settings import Settings, with_settings
from edgevit.commands._show import make_recipe, show_answer, show_report
from edgevit.core.settings.model_text import FORMS


@with_settings("convert")
def command(
    *,
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help=f"{FORMS}."),
    ] = None,
    settings: Settings,
    recipe: o.RecipeFile = None,
    save_recipe: o.SaveRecipe = None,
    setup: o.Setup = False,
    setup_online: o.SetupOnline = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> int:
    """Compress a model, convert it, execute every file and compare it with the float model.

    \b
    Examples:
      edgevit convert demo --precision fp16,w8a8 -o dist/demo
      edgevit convert timm:vit_tiny_patch16_224 --weights vit.safetensors \\
          --precision w8a8 --calibrate photos/train --evaluate photos/val --max-drop 0.5
      edgevit convert hf:./my-model --to onnx,tflite --precision w8 --json
      edgevit convert python:nets.py:build --model-arg depth=4 --image-size 64 --preprocess normalize=imagenet
      edgevit convert demo --precision w8a8 --auto-float --min-sqnr 30
      edgevit convert demo --precision lut4 --reconstruct 600
      edgevit convert --plan dist/demo/plan.json -o dist/again
    """
    wanted = make_recipe({**settings, "model": model}, recipe, save_recipe)
    source = o.setup_source(setup, setup_online, *wanted.device)
    from edgevit.report.progress import open_progress

    if wanted.dry_run:
        from edgevit.flows.dry_run import dry_run as rehearse

        with open_progress(quiet) as progress:
            answer = rehearse(wanted, progress)
        return show_answer(answer, json)
    from edgevit.flows.convert import convert
    from edgevit.flows.doctor_device import set_up

    with open_progress(quiet, verbose=verbose) as progress:
        for device in wanted.device:
            set_up(device, source, progress)
        report = convert(wanted, progress)
    return show_report(report, json)
