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
    "border",
)
# What a file can be fed otherwise: the images are cropped once for all.
FILE_PREPROCESS_KEYS: Final = ("mean", "std", "color", "normalize")

# Commands by what they do.
_BUILD: Final = ("convert", "quantize")
_JUDGE: Final = (*_BUILD, "validate")
_EVALUATE: Final = ("convert", "validate")
_RUN: Final = (*_JUDGE, "diff")
_LOAD: Final = (*_RUN, "inspect")
_ALL: Final = (*_LOAD, "profile", "run", "lint")

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
        evaluate_count, emulated_count: None for all.
        prune: (method, fraction to remove), in order.
        option: (target, key, value).
        max_drop: percentage points; `min_agreement`: percent; `min_sqnr`: dB.
        device: places besides this computer.
        jobs: targets converted side by side, 0 for as many as there are cores.
        threads: of one runtime, 0 for all cores.
        reconstruct: seconds for tuning the blocks of one plan, 0 for none.
        timeout: seconds without progress per step; `max_memory`: GB per step.
    """

    model: str = field(metadata=setting("What is converted.", (), "Model", "MODEL", of_plan=True))
    weights: Path | None = field(
        default=None,
        metadata=setting(
            "Load weights from a checkpoint: PyTorch (.pth, .pth.tar, .ckpt, .bin), .safetensors, .npz (JAX "
            "ViT), or the index or folder of a sharded one.",
            _LOAD,
            "Model",
            "FILE|DIR",
            of_plan=True,
        ),
    )
    weights_key: str | None = field(
        default=None,
        metadata=setting(
            "Choose the weights within the checkpoint: an entry such as state_dict, model_ema or teacher, or "
            "a prefix of the tensor names.",
            _LOAD,
            "Model",
            "KEY",
            default="the entry that fits, an EMA first",
            of_plan=True,
        ),
    )
    random_weights: int | None = field(
        default=None,
        metadata=setting(
            "Use random weights from this seed, to try a conversion out.",
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
            "Number of classes of the classification head.",
            _LOAD,
            "Model",
            "N",
            within=(0, 1e6, "a number of classes"),
            of_plan=True,
        ),
    )
    image_size: tuple[int, int] | None = field(
        default=None,
        metadata=setting("Input resolution in pixels.", _LOAD, "Model", "N|HxW", of_plan=True),
    )
    model_arg: Mapping[str, str] = field(
        default_factory=dict,
        metadata=setting(
            "Pass an argument to the model's constructor, such as depth=4, dims=[32,64] or pool=avg. The "
            "value is a Python literal if it is one, else text.",
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
            "Override one value of the preprocessing: resize, crop_pct, interpolation, color, mean, std, "
            "orient (exif or none), border (a colour such as 127: fit the whole image). "
            "normalize=imagenet, clip, -1..1, 0..1 or 0..255 sets mean and std.",
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
            "Read class names, one per line in index order, or from JSON, YAML or CSV. HEAD=FILE names the "
            "classes of one of several outputs.",
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
            "Formats to write: onnx,tflite,coreml.",
            _BUILD,
            "Compression",
            "LIST",
            default="all installed",
            repeatable=True,
            of_plan=True,
        ),
    )
    precision: tuple[Precision, ...] = field(
        default=(Precision.FP16,),
        metadata=setting(
            "Precisions to write: fp32, fp16, w8, w8a8, ... (`edgevit list precisions`).",
            _BUILD,
            "Compression",
            "LIST",
            repeatable=True,
            of_plan=True,
        ),
    )
    calibrate: str | None = field(
        default=None,
        metadata=setting(
            "Calibration images, for activation ranges and rounding: a folder, a .npz, or demo.",
            _BUILD,
            "Images",
            "SAMPLES",
            of_plan=True,
        ),
    )
    calibration_count: int = field(
        default=128,
        metadata=setting(
            "Number of calibration images.",
            _BUILD,
            "Images",
            "N",
            within=(1, 1e6, "a number of images"),
            of_plan=True,
        ),
    )
    evaluate: str | None = field(
        default=None,
        metadata=setting(
            "Evaluation images, for accuracy: a folder, a .npz, or demo.",
            (*_EVALUATE, "diff"),
            "Images",
            "SAMPLES",
            of_plan=True,
        ),
    )
    evaluate_count: int | None = field(
        default=None,
        metadata=setting(
            "Number of evaluation images.",
            _EVALUATE,
            "Images",
            "N",
            default="all",
            within=_COUNT,
            of_plan=True,
        ),
    )
    emulated_count: int | None = field(
        default=None,
        metadata=setting(
            "Number of them that an emulated accelerator executes, a second or so each.",
            _EVALUATE,
            "Images",
            "N",
            default="all",
            within=_COUNT,
        ),
    )
    skip_bad_images: bool = field(
        default=False,
        metadata=setting(
            "Skip images that cannot be read, and list them in the report.", _RUN, "Images", of_plan=True
        ),
    )
    prune: tuple[tuple[str, float], ...] = field(
        default=(),
        metadata=setting(
            "Prune this fraction before quantization: mlp=0.25 removes a quarter of the MLPs' hidden neurons.",
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
            "Largest allowed drop of top-1 accuracy in percentage points, for each head.",
            _JUDGE,
            "Checks",
            "PP",
            within=(0, 100, "percentage points"),
        ),
    )
    min_agreement: float | None = field(
        default=None,
        metadata=setting(
            "Smallest allowed top-1 agreement with the float model in percent, for each head.",
            _JUDGE,
            "Checks",
            "PCT",
            within=(0, 100, "percent"),
        ),
    )
    min_sqnr: float | None = field(
        default=None,
        metadata=setting(
            "Smallest allowed SQNR of the outputs against the float model in dB.",
            _JUDGE,
            "Checks",
            "DB",
            within=(-200, 400, "dB"),
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
            "Fine-tune the rounded weights block by block, for at most this long per plan. Worth it at 4 bits"
            " and for palettes.",
            _BUILD,
            "Compression",
            "SECONDS",
            default="0: off",
            within=(0, 1e6, "seconds"),
        ),
    )
    plan: Path | None = field(
        default=None,
        metadata=setting(
            "Use an existing plan.json, edited or not, instead of making a new plan.",
            _BUILD,
            "Compression",
            "FILE",
        ),
    )
    without: tuple[str, ...] = field(
        default=(),
        metadata=setting(
            "Switch off one graph rewrite or fold (`edgevit list rewrites`).",
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
            "Set an option of a target, such as onnx.opset=20 (`edgevit list targets`).",
            _BUILD,
            "Compression",
            "TARGET.KEY=VALUE",
            repeatable=True,
            of_plan=True,
        ),
    )
    output: Path | None = field(
        default=None,
        metadata=setting(
            "Folder for the files and the report.", _JUDGE, "Output", "DIR", default="dist/NAME", short="-o"
        ),
    )
    overwrite: bool = field(
        default=False, metadata=setting("Replace an existing output folder.", _JUDGE, "Output")
    )
    device: tuple[str, ...] = field(
        default=(),
        metadata=setting(
            "Execute and time the files there too: ssh://[USER@]HOST[:PORT] or adb[:SERIAL] (`edgevit list devices`).",
            _EVALUATE,
            "Checks",
            "WHERE",
            repeatable=True,
        ),
    )
    lint: tuple[str, ...] = field(
        default=(),
        metadata=setting(
            "Report the operators that will leave an accelerator: litert-gpu, nnapi, coreml-ne, ... (`edgevit list "
            "accelerators`).",
            ("convert",),
            "Checks",
            "WHAT",
            repeatable=True,
        ),
    )
    compile: tuple[str, ...] = field(
        default=(),
        metadata=setting(
            "Compile the files for an accelerator too, beside them: qnn-v75, ethos-u85-1024, ... (`edgevit compile`).",
            ("convert",),
            "Output",
            "ACCELERATOR",
            repeatable=True,
        ),
    )
    jobs: int = field(
        default=0,
        metadata=setting(
            "Targets that are converted in parallel.",
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
            "Threads per runtime.",
            _RUN,
            "Resources",
            "N",
            default="all cores",
            within=(0, 1024, "a number of threads (0: one per core)"),
        ),
    )
    timeout: float = field(
        default=3600.0,
        metadata=setting(
            "End a step after that many seconds without progress; one that executes a given file after as many in all.",
            _ALL,
            "Resources",
            "S",
            within=(1, 1e7, "seconds"),
        ),
    )
    max_memory: float = field(
        default=8.0,
        metadata=setting(
            "Memory limit of each step in GB.", _ALL, "Resources", "GB", within=(0.1, 1e5, "GB")
        ),
    )
    seed: int = field(
        default=0,
        metadata=setting("Random seed.", _JUDGE, "Resources", "N", within=_SEED, of_plan=True),
    )
    cache: str | None = field(
        default=None,
        metadata=setting(
            "Keep what was computed in this folder, and take from it what an earlier run computed; or off.",
            _JUDGE,
            "Resources",
            "DIR|off",
            default="~/.cache/edgevit/results, or EDGEVIT_CACHE",
        ),
    )
    dry_run: bool = field(
        default=False,
        metadata=setting(
            "Load the model and check every setting, print what would be written, and stop.", _BUILD, "Output"
        ),
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
