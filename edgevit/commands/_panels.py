"""Options of a command under a heading each: what Typer's `rich_help_panel` names, without importing rich."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from typer.core import TyperCommand

if TYPE_CHECKING:
    import typer
    from typer._click import HelpFormatter

INPUT: Final = "Input"
COMPRESSION: Final = "Compression"
CHECKS: Final = "Checks"
OUTPUT: Final = "Output"
RESOURCES: Final = "Resources"
_ORDER: Final = ("Arguments", INPUT, COMPRESSION, CHECKS, OUTPUT, RESOURCES)


class PanelCommand(TyperCommand):
    """A command whose `--help` groups its options; those without a panel, such as `--help`, stand with the output."""

    def format_options(self, ctx: typer.Context, formatter: HelpFormatter) -> None:
        """Write one section per panel, in the order in which a user decides things."""
        sections: dict[str, list[tuple[str, str]]] = {title: [] for title in _ORDER}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            default = "Arguments" if parameter.param_type_name == "argument" else OUTPUT
            sections[getattr(parameter, "rich_help_panel", None) or default].append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)
