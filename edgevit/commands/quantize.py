"""`edgevit quantize`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgevit.commands import _options as o
from edgevit.commands._show import make_recipe, show_answer
from edgevit.core.settings.model_text import FORMS


def command(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help=f"{FORMS}.")] = None,
    weights: o.Weights = None,
    weights_key: o.WeightsKey = None,
    random_weights: o.RandomWeights = None,
    num_classes: o.NumClasses = None,
    image_size: o.ImageSize = None,
    model_arg: o.ModelArg = None,
    preprocess: o.PreprocessFlag = None,
    labels: o.Labels = None,
    to: o.To = None,
    precision: Annotated[
        str | None, typer.Option(metavar="LIST", help="w8, w8a8, ... [default: w8a8]")
    ] = None,
    calibrate: o.Calibrate = None,
    calibration_count: o.CalibrationCount = None,
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
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Where the plans go. [default: dist/NAME]"),
    ] = None,
    overwrite: o.Overwrite = False,
    threads: o.Threads = None,
    timeout: o.Timeout = None,
    max_memory: o.MaxMemory = None,
    seed: o.Seed = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and write nothing.")] = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> int:
    """The quantization plan alone: sites, capabilities, and what was skipped with its reason.

    \b
    Examples:
      edgevit quantize demo --to onnx --dry-run
      edgevit quantize --plan dist/demo/plan.json --dry-run
      edgevit quantize timm:vit_tiny_patch16_224 --weights vit.safetensors --calibrate photos/train -o plans
    """
    wanted = make_recipe(locals(), defaults={"precision": "w8a8"})
    from edgevit.flows.quantize import quantize
    from edgevit.report.progress import open_progress

    with open_progress(quiet) as progress:
        answer = quantize(wanted, progress)
    return show_answer(answer, json)
