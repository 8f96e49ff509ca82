"""Templates of pages: everything that came from a user or a file is escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgevit.core.foreign import printable
from edgevit.core.results.figures import megabytes

if TYPE_CHECKING:
    from jinja2 import Template


def template(name: str) -> Template:
    """A template of `edgevit/report/templates`, whose pages need neither scripts nor anything from elsewhere."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("edgevit.report"),
        autoescape=True,
        finalize=_printable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["megabytes"] = megabytes
    return environment.get_template(name)


def _printable(value: object) -> object:
    """Text without what controls or hides, before it is escaped; markup of ours, such as a plot, as it is."""
    return printable(value, lines=True) if type(value) is str else value
