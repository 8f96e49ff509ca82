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
            metavar="MODEL",
            help="The float model, as for `edgevit convert`.",
            show_default=False,
            rich_help_panel="Model",
        ),
    ],
    settings: Settings,
    file_preprocess: o.FilePreprocess = None,
    count: Annotated[
        int, typer.Option(metavar="N", min=1, help="Number of images.", rich_help_panel="Images")
    ] = 2,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="DB",
            help="SQNR in dB from which on a layer counts as right. [default: fp32 60, fp16 40, quantized 12]",
            rich_help_panel="Checks",
        ),
    ] = None,
    show_all: Annotated[
        bool, typer.Option("--all", help="Show all layers, not only the wrong ones.")
    ] = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> int:
    """Find the first layer of a converted file that differs from the model, and compare all others.

    PyTorch computes each layer from the input that the file itself feeds it, and compares the result with
    the file's. An error therefore shows at the layer that makes it, not at all layers behind it. Layers are
    matched by name in files of edgevit, and by value in files of other tools. A softmax at the end of the
    file is no difference; an input with other preprocessing is one, and is named. Exit code 1: a layer is
    wrong, or the input differs.

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
