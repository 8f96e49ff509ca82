"""The flags of a command, made from the fields of a Recipe."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import Field, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from edgevit.core.settings.gate_limits import OFF, GateLimits
from edgevit.core.settings.recipe import Recipe, default_of, settings_of
from edgevit.core.settings.setting import Setting, flag_of, setting_of

# What Typer reads; all others it hands on as text, which `make_recipe` understands.
_TYPES: Final[dict[str, type]] = {"int": int, "float": float, "Path": Path}

Settings = dict[str, object]  # by the names of a Recipe's fields; None and False where a flag was not given


def with_settings(command: str, **words: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Put the flags of all settings that `command` has where its function has the parameter `settings`.

    Args:
        words: help of flags that mean something of their own in this command.
    """
    names = settings_of(command)
    return _spread(
        "settings",
        [_parameter(field, words.get(field.name)) for field in fields(Recipe) if field.name in names],
    )


def with_limits(function: Callable[..., int]) -> Callable[..., int]:
    """Put a flag for each limit of the gate where the function has the parameter `limits`."""
    flags = []
    for limit in fields(GateLimits):
        default = "" if limit.default is None else f" [default: {limit.default:g}]"
        option = typer.Option(
            metavar=limit.metadata["unit"],
            help=f"{limit.metadata['help']} Or {OFF}.{default}",
            rich_help_panel="Checks",
        )
        flags.append(
            inspect.Parameter(
                limit.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[str | None, option],
            )
        )
    return _spread("limits", flags)(function)


def _spread(
    place: str, flags: Sequence[inspect.Parameter]
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Let a function take `flags` in the place of its one parameter `place`, which gets them as a dict."""

    def decorate(function: Callable[..., int]) -> Callable[..., int]:
        own = inspect.signature(function, eval_str=True).parameters

        def call(**given: object) -> int:
            gathered = {flag.name: given[flag.name] for flag in flags}
            return function(**{place: gathered}, **{name: given[name] for name in own if name != place})

        order = [
            found for name, parameter in own.items() for found in (flags if name == place else (parameter,))
        ]
        call.__doc__ = function.__doc__
        call.__signature__ = inspect.Signature(order)  # type: ignore[attr-defined]  # Typer looks for it
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in order}
        return call

    return decorate


@cache
def _parameter(field: Field[Any], words: str | None) -> inspect.Parameter:
    """A flag as Typer declares it."""
    known, word = setting_of(field), str(field.type).removesuffix(" | None")
    switch = word == "bool"
    kind: object = bool if switch else (list[str] if known.repeatable else _TYPES.get(word, str)) | None
    option = typer.Option(
        f"--{flag_of(field.name)}",
        *((known.short,) if known.short else ()),
        metavar=None if switch else known.metavar,
        help=words or _help(field.name, known),
        rich_help_panel=known.group,
    )
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=False if switch else None,
        annotation=Annotated[kind, option],
    )


def _help(name: str, known: Setting) -> str:
    default = known.default or _shown(default_of(name))
    words = [
        known.help,
        "Repeatable." if known.repeatable else "",
        f"[default: {default}]" if default else "",
    ]
    return " ".join(filter(None, words))


def _shown(default: object) -> str:
    if default is None or default is False or default in ((), {}):
        return ""
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return f"{default:g}" if isinstance(default, float) else str(default)
