"""What is known of one setting besides its type and default: everything that a command line or a plan asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field
from typing import Any, Final, Literal, NamedTuple, cast

Group = Literal["Model", "Images", "Compression", "Checks", "Output", "Resources"]

_KEY: Final = "setting"


class Setting(NamedTuple):
    """One setting.

    Attributes:
        help: one line for `--help`.
        commands: that have it as a flag, and as a keyword of their function.
        group: what it is about.
        metavar: what its value is called; "" for a switch.
        repeatable: its flag may be given several times, each time with one part of the value.
        default: in words, where the value itself would not tell.
        within: smallest and largest number, and what it counts.
        of_plan: whether a plan may come out otherwise by it, so that plans remember it.
        short: a second, short name of the flag.
    """

    help: str
    commands: tuple[str, ...]
    group: Group
    metavar: str = ""
    repeatable: bool = False
    default: str = ""
    within: tuple[float, float, str] | None = None
    of_plan: bool = False
    short: str = ""


def setting(
    help: str,
    commands: tuple[str, ...],
    group: Group,
    metavar: str = "",
    *,
    repeatable: bool = False,
    default: str = "",
    within: tuple[float, float, str] | None = None,
    of_plan: bool = False,
    short: str = "",
) -> Mapping[str, Setting]:
    """`metadata` of a field; the arguments are those of a Setting."""
    return {_KEY: Setting(help, commands, group, metavar, repeatable, default, within, of_plan, short)}


def setting_of(field: Field[Any]) -> Setting:
    """What a field says of its setting."""
    return cast("Setting", field.metadata[_KEY])


def flag_of(name: str) -> str:
    """The flag, and the key in a recipe file, of a field: `image-size`."""
    return name.replace("_", "-")
