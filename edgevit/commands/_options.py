"""Flags that several commands share, each with its help, as Typer wants them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

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
FilePreprocess = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        help="What a file without preprocessing metadata expects instead of the model's color, mean and std: "
        "normalize=0..1 if it normalizes inside, color=bgr. Repeatable.",
        rich_help_panel="Model",
    ),
]
RecipeFile = Annotated[
    Path | None,
    typer.Option("--recipe", metavar="FILE", help="Read settings from a TOML file; flags override them."),
]
SaveRecipe = Annotated[Path | None, typer.Option(metavar="FILE", help="Write the settings to a TOML file.")]
Device = Annotated[
    str,
    typer.Option(
        metavar="WHERE",
        help="Where to execute: local, ssh://[USER@]HOST[:PORT] or adb[:SERIAL].",
    ),
]
Setup = Annotated[
    bool,
    typer.Option(
        "--setup",
        help="Install the runtimes on a device first, in an environment of their own: this computer downloads "
        "what fits there, and pushes it.",
    ),
]
SetupOnline = Annotated[
    bool, typer.Option("--setup-online", help="The same by the device's own pip and network.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Hide progress and notes.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show the Python traceback of every error.")]


def setup_source(setup: bool, online: bool, *devices: str) -> Literal["no", "here", "device"]:
    """Where the packages of `--setup` come from.

    Raises:
        UsageError: it is asked for, and no device is named.
    """
    if (setup or online) and not any(devices):
        raise UsageError(
            "--setup installs runtimes on a device, and none is named", "--device ssh://[USER@]HOST[:PORT]"
        )
    return "device" if online else "here" if setup else "no"
