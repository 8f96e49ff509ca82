"""Everything that edgevit can be told: the one list of settings.

Flags, keywords of the Python functions, keys of recipe files and what a plan remembers come from here, or are held
against it by tests/edgevit/core/settings/test_one_list.py. A new setting is one field here, one line in
edgevit/api/_settings.py, and what it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import ClassVar, Final

from edgevit.core.precisions import Precision
from edgevit.core.settings.setting import Setting, setting, setting_of

PREPROCESS_KEYS: Final = (
    "resize",
    "crop_pct",
    "interpolation",
    "mean",
    "std",
    "color",
    "normalize",
    "orient",
)
# What a file can be fed otherwise: the images are cropped once for all.
FILE_PREPROCESS_KEYS: Final = ("mean", "std", "color", "normalize")

# Commands by what they do.
_BUILD: Final = ("convert", "quantize")
_JUDGE: Final = (*_BUILD, "validate")
_EVALUATE: Final = ("convert", "validate")
_RUN: Final = (*_JUDGE, "diff")
_LOAD: Final = (*_RUN, "inspect")
_ALL: Final = (*_LOAD, "profile", "run")

_COUNT: Final = (1, 1e9, "a number of images")
_SEED: Final = (0, 2**63 - 1, "a seed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that `edgevit convert` can be told; the fields are its flags.

    Attributes:
        image_size: (height, width) in pixels, None for the model's own.
        model_arg, preprocess: keys and values as given, for the source to understand.
        labels: a file of class names; of several outputs by their names, that of the first perhaps as "".
        to: targets; empty for all.
        evaluate_count: None for all.
        prune: (method, fraction to remove), in order.
        option: (target, key, value).
        max_drop: percentage points; `min_agreement`: percent; `min_sqnr`: dB.
        jobs: targets converted side by side, 0 for as many as there are cores.
        threads: of one runtime, 0 for all cores.
        reconstruct: seconds for tuning the blocks of one plan, 0 for none.
        timeout: seconds per step; `max_memory`: GB per step.
    """

    model: str = field(metadata=setting("What is converted.", (), "Model", "MODEL", of_plan=True))
    weights: Path | None = field(
        default=None,
        metadata=setting(
            "A checkpoint of PyTorch (.pth, .pth.tar, .ckpt, .bin), .safetensors, an index or folder of several "
            "files, or .npz (JAX ViT).",
            _LOAD,
            "Model",
            "FILE|DIR",
            of_plan=True,
        ),
    )
    weights_key: str | None = field(
        default=None,
        metadata=setting(
            "Which weights of the checkpoint: an entry (state_dict, model_ema, teacher) or the prefix of the names.",
            _LOAD,
            "Model",
            "KEY",
            default="what fits, a moving average first",
            of_plan=True,
        ),
    )
    random_weights: int | None = field(
        default=None,
        metadata=setting(
            "Fill the model with seeded random weights instead.",
            _LOAD,
            "Model",
            "SEED",
            within=_SEED,
            of_plan=True,
        ),
    )
    num_classes: int | None = field(
        default=None,
        metadata=setting(
            "Number of classes of the head.",
            _LOAD,
            "Model",
            "N",
            within=(0, 1e6, "a number of classes"),
            of_plan=True,
        ),
    )
    image_size: tuple[int, int] | None = field(
        default=None,
        metadata=setting("Pixels of the model's input.", _LOAD, "Model", "N|HxW", of_plan=True),
    )
    model_arg: Mapping[str, str] = field(
        default_factory=dict,
        metadata=setting(
            "An argument of the architecture or factory: a Python literal, else a text, such as depth=4, "
            "dims=[32,64] or pool=avg.",
            _LOAD,
            "Model",
            "NAME=VALUE",
            repeatable=True,
            of_plan=True,
        ),
    )
    preprocess: Mapping[str, str] = field(
        default_factory=dict,
        metadata=setting(
            "Override the model's own resize, crop_pct, interpolation, color, mean and std, the last two "
            "also by name: normalize=imagenet, clip, -1..1, 0..1 or 0..255; orient=exif or none.",
            _LOAD,
            "Model",
            "KEY=VALUE",
            repeatable=True,
            of_plan=True,
        ),
    )
    labels: Path | Mapping[str, Path] | None = field(
        default=None,
        metadata=setting(
            "One class name a line, in index order; or JSON, YAML, CSV. Of several outputs HEAD=FILE names one.",
            _LOAD,
            "Model",
            "[HEAD=]FILE",
            repeatable=True,
            of_plan=True,
        ),
    )
    to: tuple[str, ...] = field(
        default=(),
        metadata=setting(
            "Targets: onnx,tflite,coreml.",
            _BUILD,
            "Compression",
            "LIST",
            default="all that are installed",
            of_plan=True,
        ),
    )
    precision: tuple[Precision, ...] = field(
        default=(Precision.FP16,),
        metadata=setting("fp32, fp16, w8, w8a8, ...", _BUILD, "Compression", "LIST", of_plan=True),
    )
    calibrate: str | None = field(
        default=None,
        metadata=setting(
            "Images for ranges and rounding: a folder, a .npz, or demo.",
            _BUILD,
            "Images",
            "SAMPLES",
            of_plan=True,
        ),
    )
    calibration_count: int = field(
        default=128,
        metadata=setting(
            "How many of them.", _BUILD, "Images", "N", within=(1, 1e6, "a number of images"), of_plan=True
        ),
    )
    evaluate: str | None = field(
        default=None,
        metadata=setting(
            "Images for accuracy: a folder, a .npz, or demo.",
            (*_EVALUATE, "diff"),
            "Images",
            "SAMPLES",
            of_plan=True,
        ),
    )
    evaluate_count: int | None = field(
        default=None,
        metadata=setting(
            "How many of them.", _EVALUATE, "Images", "N", default="all", within=_COUNT, of_plan=True
        ),
    )
    skip_bad_images: bool = field(
        default=False,
        metadata=setting("Leave unreadable images out, named in the report.", _RUN, "Images", of_plan=True),
    )
    prune: tuple[tuple[str, float], ...] = field(
        default=(),
        metadata=setting(
            "Remove that fraction, such as mlp=0.25, in order.",
            _BUILD,
            "Compression",
            "METHOD=AMOUNT",
            repeatable=True,
            of_plan=True,
        ),
    )
    max_drop: float | None = field(
        default=None,
        metadata=setting(
            "Largest drop of top-1, percentage points; of several heads, of each.",
            _JUDGE,
            "Checks",
            "PP",
            within=(0, 100, "percentage points"),
        ),
    )
    min_agreement: float | None = field(
        default=None,
        metadata=setting(
            "Smallest top-1 agreement, percent; of several heads, of each.",
            _JUDGE,
            "Checks",
            "PCT",
            within=(0, 100, "percent"),
        ),
    )
    min_sqnr: float | None = field(
        default=None,
        metadata=setting(
            "Smallest SQNR against the float model, dB.", _JUDGE, "Checks", "DB", within=(-200, 400, "dB")
        ),
    )
    auto_float: bool = field(
        default=False,
        metadata=setting(
            "Keep as few sensitive layers in float as the limits require, checked on held-out images.",
            _BUILD,
            "Compression",
        ),
    )
    reconstruct: float = field(
        default=0.0,
        metadata=setting(
            "Tune the layers of each block together, for at most so long for each plan; pays with 4 bits and "
            "palettes.",
            _BUILD,
            "Compression",
            "SECONDS",
            default="0, not at all",
            within=(0, 1e6, "seconds"),
        ),
    )
    plan: Path | None = field(
        default=None,
        metadata=setting(
            "Use a plan.json, perhaps edited, or that of a bundle, instead of a new plan.",
            _BUILD,
            "Compression",
            "FILE",
        ),
    )
    without: tuple[str, ...] = field(
        default=(),
        metadata=setting(
            "Switch a rewrite or a fold off.",
            (*_BUILD, "diff"),
            "Compression",
            "REWRITE",
            repeatable=True,
            of_plan=True,
        ),
    )
    option: tuple[tuple[str, str, str], ...] = field(
        default=(),
        metadata=setting(
            "Such as onnx.opset=20.",
            _BUILD,
            "Compression",
            "TARGET.KEY=VALUE",
            repeatable=True,
            of_plan=True,
        ),
    )
    output: Path | None = field(
        default=None,
        metadata=setting("The bundle.", _BUILD, "Output", "DIR", default="dist/NAME", short="-o"),
    )
    overwrite: bool = field(default=False, metadata=setting("Replace an existing output.", _BUILD, "Output"))
    jobs: int = field(
        default=0,
        metadata=setting(
            "Targets converted side by side.",
            _EVALUATE,
            "Resources",
            "N",
            default="one per core",
            within=(0, 1024, "a number of processes (0: one per core)"),
        ),
    )
    threads: int = field(
        default=0,
        metadata=setting(
            "Threads of one runtime.",
            _RUN,
            "Resources",
            "N",
            default="all cores",
            within=(0, 1024, "a number of threads (0: one per core)"),
        ),
    )
    timeout: float = field(
        default=3600.0,
        metadata=setting("Seconds per step.", _ALL, "Resources", "S", within=(1, 1e7, "seconds")),
    )
    max_memory: float = field(
        default=8.0,
        metadata=setting("Memory per step.", _ALL, "Resources", "GB", within=(0.1, 1e5, "GB")),
    )
    seed: int = field(
        default=0,
        metadata=setting("Random seed.", _JUDGE, "Resources", "N", within=_SEED, of_plan=True),
    )
    dry_run: bool = field(
        default=False,
        metadata=setting("Load and check everything, say what would be made, and stop.", _BUILD, "Output"),
    )

    __pydantic_config__: ClassVar = {"extra": "forbid"}


@cache
def all_settings() -> Mapping[str, Setting]:
    """Name of each field of a Recipe -> what is known of it, in order."""
    return {entry.name: setting_of(entry) for entry in fields(Recipe)}


def settings_of(command: str) -> tuple[str, ...]:
    """The settings that a command has as flags and its function as keywords."""
    return tuple(name for name, known in all_settings().items() if command in known.commands)


def default_of(name: str) -> object:
    """The value of a setting that nobody gave."""
    entry = next(entry for entry in fields(Recipe) if entry.name == name)
    return {} if entry.default_factory is dict else entry.default


def label_files(recipe: Recipe) -> Mapping[str, Path]:
    """Output -> file of its class names; "" for the first output."""
    given = recipe.labels
    return given if isinstance(given, Mapping) else {} if given is None else {"": given}
