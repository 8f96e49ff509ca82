"""`edgevit convert`."""

from __future__ import annotations

from typing import Annotated

import typer

from edgevit.commands import _options as o
from edgevit.commands._show import make_recipe, show_answer, show_report
from edgevit.core.settings.model_text import FORMS


def command(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help=f"{FORMS}."),
    ] = None,
    weights: o.Weights = None,
    weights_key: o.WeightsKey = None,
    random_weights: o.RandomWeights = None,
    num_classes: o.NumClasses = None,
    image_size: o.ImageSize = None,
    model_arg: o.ModelArg = None,
    preprocess: o.PreprocessFlag = None,
    labels: o.Labels = None,
    to: o.To = None,
    precision: o.Precision = None,
    calibrate: o.Calibrate = None,
    calibration_count: o.CalibrationCount = None,
    evaluate: o.Evaluate = None,
    evaluate_count: o.EvaluateCount = None,
    skip_bad_images: o.SkipBadImages = False,
    prune: o.Prune = None,
    max_drop: o.MaxDrop = None,
    min_agreement: o.MinAgreement = None,
    min_sqnr: o.MinSqnr = None,
    auto_float: o.AutoFloat = False,
    reconstruct: o.Reconstruct = None,
    plan: o.Plan = None,
    without: o.Without = None,
    option: o.TargetOption = None,
    recipe: o.RecipeFile = None,
    save_recipe: o.SaveRecipe = None,
    output: o.Output = None,
    overwrite: o.Overwrite = False,
    jobs: o.Jobs = None,
    threads: o.Threads = None,
    timeout: o.Timeout = None,
    max_memory: o.MaxMemory = None,
    seed: o.Seed = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Load and check everything, say what would be made, and stop.")
    ] = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> int:
    """Compress a model, convert it, execute every file and hold it against the float model.

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
    wanted = make_recipe(locals(), recipe, save_recipe)
    from edgevit.report.progress import open_progress

    if dry_run:
        from edgevit.flows.dry_run import dry_run as rehearse

        with open_progress(quiet) as progress:
            answer = rehearse(wanted, progress)
        return show_answer(answer, json)
    from edgevit.flows.convert import convert

    with open_progress(quiet, verbose=verbose) as progress:
        report = convert(wanted, progress)
    return show_report(report, json)
