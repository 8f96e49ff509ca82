"""Options of a command under a heading each: what Typer's `rich_help_panel` names, without importing rich."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from typer.core import TyperCommand

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter

# In the order in which a user decides things; the panels of settings are the groups of `edgevit.core.settings`.
_ARGUMENTS: Final = "Arguments"
OUTPUT: Final = "Output"
_ORDER: Final = (_ARGUMENTS, "Model", "Images", "Compression", "Checks", OUTPUT, "Resources")


class PanelCommand(TyperCommand):
    """A command whose `--help` groups its options; those without a panel, such as `--help`, stand with the output."""

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write one section for each panel that has options."""
        sections: dict[str, list[tuple[str, str]]] = {title: [] for title in _ORDER}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            default = _ARGUMENTS if parameter.param_type_name == "argument" else OUTPUT
            sections.setdefault(getattr(parameter, "rich_help_panel", None) or default, []).append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)
