"""`edgevit diff`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgevit.commands import _options as o
from edgevit.commands._settings import Settings, with_settings
from edgevit.commands._show import make_recipe, show_answer


@with_settings("diff", evaluate="Images: a folder, a .npz, or demo. [default: synthetic pictures]")
def command(
    *,
    artifact: Annotated[
        Path, typer.Argument(metavar="ARTIFACT", help="One .onnx, .tflite or .mlpackage.", show_default=False)
    ],
    reference: Annotated[
        str,
        typer.Option(
            metavar="MODEL", help="The float model, as `edgevit convert` takes it.", show_default=False
        ),
    ],
    settings: Settings,
    file_preprocess: o.FilePreprocess = None,
    count: Annotated[int, typer.Option(metavar="N", min=1, help="How many of them.")] = 2,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="DB",
            help="Own error from which on a layer is right. [default: fp32 60, fp16 40, quantized 12]",
        ),
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", help="Show all layers.")] = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> int:
    """The first layer of a converted file that differs from the model, and how all others do.

    Each layer is computed by PyTorch from the file's own inputs of it and held against the file's
    output, so that a fault shows where it is and not in everything behind it. Layers are found by
    the names in files of edgevit, and by their values in files of other tools. A file that ends in a
    softmax, where the model gives logits, is the same model; one that takes another input is not, and
    what it takes is named. Exit code 1: a layer is wrong, or the input is another.

    \b
    Examples:
      edgevit diff dist/demo/tflite/fp16/model.tflite --reference demo
      edgevit diff model.onnx --reference timm:vit_tiny_patch16_224 --weights vit.safetensors \\
          --evaluate photos/val --count 4 --all
      edgevit diff model.mlpackage --reference python:nets.py:build --image-size 64 --json
    """
    from edgevit.core.settings.parse import parse_pairs
    from edgevit.core.settings.recipe import FILE_PREPROCESS_KEYS

    fed = parse_pairs("--file-preprocess", file_preprocess or [], FILE_PREPROCESS_KEYS)
    wanted = make_recipe({**settings, "model": reference})
    from edgevit.flows.diff import diff
    from edgevit.report.progress import open_progress

    with open_progress(quiet) as progress:
        answer = diff(artifact, wanted, count, threshold, show_all, progress, fed)
    return show_answer(answer, json)
