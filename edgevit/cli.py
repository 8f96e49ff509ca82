"""The app: one line per command. `main` is the only place that prints errors and exits."""

from __future__ import annotations

import signal
import sys
import traceback
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from edgevit.commands import (
    cache,
    convert,
    diff,
    doctor,
    gate,
    inspect,
    lint,
    profile,
    quantize,
    run,
    validate,
    verify,
)
from edgevit.commands import compile as compile_
from edgevit.commands import list as list_
from edgevit.commands._panels import PanelCommand
from edgevit.commands._streams import StdoutError, mend, say, write
from edgevit.core.errors import EdgevitError, UnsupportedError, UsageError, nearest
from edgevit.core.foreign import json_text, printable
from edgevit.core.version import SCHEMA_VERSION, __version__

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("convert", cls=PanelCommand, short_help="Compress, convert, execute and judge a model.")(
    convert.command
)
app.command("quantize", cls=PanelCommand, short_help="Make the quantization plan alone.")(quantize.command)
app.command("validate", cls=PanelCommand, short_help="Judge files made earlier or by other tools.")(
    validate.command
)
app.command("gate", cls=PanelCommand, short_help="Hold a bundle against what shipped before.")(gate.command)
app.command("profile", cls=PanelCommand, short_help="Measure the latency of one file.")(profile.command)
app.command("run", cls=PanelCommand, short_help="Classify images with one file.")(run.command)
app.command(
    "diff", cls=PanelCommand, short_help="Find the first layer of a file that differs from the model."
)(diff.command)
app.command("inspect", cls=PanelCommand, short_help="Show what is in a model or a converted file.")(
    inspect.command
)
app.command("lint", cls=PanelCommand, short_help="Find the operators that leave an accelerator.")(
    lint.command
)
app.command("compile", cls=PanelCommand, short_help="Compile a file for an NPU, and show what runs on it.")(
    compile_.command
)
app.command("verify", cls=PanelCommand, short_help="Check the hashes of a bundle.")(verify.command)
app.command("cache", cls=PanelCommand, short_help="Show or remove what earlier runs left.")(cache.command)
app.command("list", cls=PanelCommand, short_help="List targets, precisions, sources and more.")(list_.command)
app.command(
    "doctor", cls=PanelCommand, short_help="Show what this machine can do, and how to install the rest."
)(doctor.command)


def _print_version(wanted: bool) -> None:
    if wanted:
        write(f"edgevit {__version__}\n")
        raise typer.Exit


@app.callback()
def _edgevit(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Compress vision transformers, convert them to ONNX, TFLite and Core ML, and prove each file right.

    \b
    First steps:
      edgevit doctor
      edgevit convert demo --precision fp16,w8a8

    \b
    Exit codes: 0 done and every check passed, 1 a check failed, 2 wrong usage or input,
    3 could not be done or measured, 4 inconclusive, 130 interrupted.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with the code of the contract."""
    given = sys.argv[1:] if arguments is None else arguments
    flags = given[: given.index("--")] if "--" in given else given
    as_json, verbose = "--json" in flags, bool({"-v", "--verbose"} & set(flags))
    mend()
    # `kill`, `timeout` and a cancelled build clean up as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = _run(given, as_json, verbose)
    except KeyboardInterrupt:  # also a second one, while the first was being answered
        code = 130
        _tell("interrupted", "interrupted: nothing was changed", "", as_json)
    sys.exit(code)


def _run(given: list[str], as_json: bool, verbose: bool) -> int:
    """The exit code of one command; its error is told.

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """
    try:
        _check_packages()
        code: int = app(args=given or ["--help"], prog_name="edgevit", standalone_mode=False) or 0
        if code == 130:  # Typer has turned Ctrl-C into this
            raise KeyboardInterrupt
    except EdgevitError as error:
        if verbose:
            _print_trace(error)
        code = error.exit_code
        _tell(error.code, error.message, error.hint, as_json and not isinstance(error, StdoutError))
    except typer.TyperException as error:
        code = UsageError.exit_code
        _tell(UsageError.code, error.format_message().rstrip("."), _usage_hint(given), as_json)
    except Exception as error:
        from edgevit.core.disk.space import missing_space

        code = EdgevitError.exit_code
        full = missing_space(error, ())
        _print_trace(error)
        if full is not None:
            _tell(full.code, full.message, full.hint, as_json)
        else:
            # A bug of ours: it keeps its trace, but must not look like a failed check, which is code 1.
            message = f"{type(error).__name__}: {error}"
            _tell("internal", message, "this is a bug in edgevit: please report it", as_json)
    return code


def _tell(code: str, message: str, hint: str, as_json: bool) -> None:
    # From here on the exit code stands: neither another signal nor a full disk behind a stream changes it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if as_json:
        document = {
            "schema_version": SCHEMA_VERSION,
            "error": {"code": code, "message": message, "hint": hint},
        }
        with suppress(StdoutError):
            write(json_text(document) + "\n")
        return
    say(f"error: {printable(message)}\n" + (f"hint: {printable(hint)}\n" if hint else ""))


def _print_trace(error: Exception) -> None:
    say(printable("".join(traceback.format_exception(error)), lines=True))


def _usage_hint(given: list[str]) -> str:
    names = [command.name for command in app.registered_commands if command.name]
    word = next((text for text in given if not text.startswith("-")), "")
    return f"see edgevit {word} --help" if word in names else nearest(word, names)


def _check_packages() -> None:
    """Two packages have common names: a folder called `converters` must not stand in for ours.

    Raises:
        UnsupportedError: another one is found first.
    """
    root = Path(__file__).resolve().parents[1]
    for name in ("converters", "calibration"):
        spec = find_spec(name)
        found = Path(spec.origin).resolve().parents[1] if spec is not None and spec.origin else None
        if found != root:
            where = f"found in {found}" if found else "not found"
            raise UnsupportedError(
                f"the package {name!r} that belongs to edgevit is {where} instead of {root}",
                f"run edgevit from another folder, or uninstall the package that brings {name!r}",
            )
