"""Flags that several commands share, each with its help, as Typer wants them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from edgevit.core.errors import UsageError
from edgevit.core.settings.model_text import FORMS


def one_count(text: str | int) -> int:
    """`--threads` of a command that measures or runs once.

    Raises:
        UsageError: no number from 0 to 1024, or several.
    """
    value = str(text).strip()
    if value.isdecimal() and int(value) <= 1024:
        return int(value)
    if re.fullmatch(r"\d+(\s*[,;: ]\s*\d+)+", value):
        raise UsageError(
            f"--threads {value!r} names several counts", "run it once for each, such as --threads 1"
        )
    raise UsageError(f"--threads {value!r} is no number from 0 to 1024", "0 takes all cores")


Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help=f"{FORMS}.",
        show_default=False,
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE|DIR",
        help="A checkpoint of PyTorch (.pth, .pth.tar, .ckpt, .bin), .safetensors, an index or folder of several "
        "files, or .npz (JAX ViT).",
    ),
]
WeightsKey = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        help="Which weights of the checkpoint: an entry (state_dict, model_ema, teacher) or the prefix of the names. "
        "[default: what fits, a moving average first]",
    ),
]
RandomWeights = Annotated[
    int | None, typer.Option(metavar="SEED", help="Fill the model with seeded random weights instead.")
]
NumClasses = Annotated[int | None, typer.Option(metavar="N", help="Number of classes of the head.")]
ImageSize = Annotated[str | None, typer.Option(metavar="N|HxW", help="Pixels of the model's input.")]
ModelArg = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help="An argument of the architecture or factory: a Python literal, else a text, such as depth=4, "
        "dims=[32,64] or pool=avg. Repeatable.",
    ),
]
PreprocessFlag = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        help="Override the model's own resize, crop_pct, interpolation, color, mean and std, the last two "
        "also by name: normalize=imagenet, clip, -1..1, 0..1 or 0..255; orient=exif or none. Repeatable.",
    ),
]
FilePreprocess = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        help="What files that carry no preprocessing take instead of the model's color, mean and std: "
        "normalize=0..1 where the normalisation is inside, color=bgr. Repeatable.",
    ),
]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[HEAD=]FILE",
        help="One class name a line, in index order; or JSON, YAML, CSV. Of several outputs HEAD=FILE names one. "
        "Repeatable.",
    ),
]
To = Annotated[
    str | None,
    typer.Option(metavar="LIST", help="Targets: onnx,tflite,coreml. [default: all that are installed]"),
]
Precision = Annotated[
    str | None, typer.Option(metavar="LIST", help="fp32, fp16, w8, w8a8, ... [default: fp16]")
]
Calibrate = Annotated[
    str | None,
    typer.Option(metavar="SAMPLES", help="Images for ranges and rounding: a folder, a .npz, or demo."),
]
CalibrationCount = Annotated[int | None, typer.Option(metavar="N", help="How many of them. [default: 128]")]
Evaluate = Annotated[
    str | None, typer.Option(metavar="SAMPLES", help="Images for accuracy: a folder, a .npz, or demo.")
]
EvaluateCount = Annotated[int | None, typer.Option(metavar="N", help="How many of them. [default: all]")]
SkipBadImages = Annotated[
    bool, typer.Option("--skip-bad-images", help="Leave unreadable images out, named in the report.")
]
Prune = Annotated[
    list[str] | None,
    typer.Option(
        metavar="METHOD=AMOUNT", help="Remove that fraction, such as mlp=0.25. Repeatable, in order."
    ),
]
MaxDrop = Annotated[
    float | None,
    typer.Option(metavar="PP", help="Largest drop of top-1, percentage points; of several heads, of each."),
]
MinAgreement = Annotated[
    float | None,
    typer.Option(metavar="PCT", help="Smallest top-1 agreement, percent; of several heads, of each."),
]
MinSqnr = Annotated[
    float | None, typer.Option(metavar="DB", help="Smallest SQNR against the float model, dB.")
]
AutoFloat = Annotated[
    bool,
    typer.Option(
        "--auto-float",
        help="Keep as few sensitive layers in float as the limits require, checked on held-out images.",
    ),
]
Reconstruct = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="Tune the layers of each block together, for at most so long for each plan; pays with 4 bits and "
        "palettes. [default: 0, not at all]",
    ),
]
Plan = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Use a plan.json, perhaps edited, or that of a bundle, instead of a new plan."
    ),
]
Without = Annotated[
    list[str] | None, typer.Option(metavar="REWRITE", help="Switch a rewrite or a fold off. Repeatable.")
]
TargetOption = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="TARGET.KEY=VALUE", help="Such as onnx.opset=20. Repeatable."),
]
RecipeFile = Annotated[
    Path | None, typer.Option("--recipe", metavar="FILE", help="Settings from a TOML file; flags win.")
]
SaveRecipe = Annotated[Path | None, typer.Option(metavar="FILE", help="Write the settings to a TOML file.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="The bundle. [default: dist/NAME]")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
Jobs = Annotated[
    int | None, typer.Option(metavar="N", help="Targets converted side by side. [default: one per core]")
]
Threads = Annotated[
    int | None, typer.Option(metavar="N", help="Threads of one runtime. [default: all cores]")
]
Timeout = Annotated[float | None, typer.Option(metavar="S", help="Seconds per step. [default: 3600]")]
MaxMemory = Annotated[float | None, typer.Option(metavar="GB", help="Memory per step. [default: 8]")]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Of everything that is drawn. [default: 0]")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout and nothing else there.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show the Python traceback of every error.")]
