"""An error about a file in the work folder, told as the user knows things: the bundle's path, the model's line."""

from __future__ import annotations

import re
from pathlib import Path

from edgevit.program.diagnostics import frames, innermost

_SITE = re.compile(r", site '(?P<site>[^']+)'$")


def locate(message: str, work: Path, graph: Path) -> str:
    """`message` without the path of the work folder; where it ends in a site, with the line that the site is from.

    Args:
        work: the folder, whose name says nothing to anybody.
        graph: the exported program with the names of the sites.
    """
    message = message.replace(f"{work}/", "")
    named = _SITE.search(message)
    if named is None or not graph.is_file():
        return message
    from edgevit.program import graph_file
    from edgevit.program.sites import site_of

    for node in graph_file.load(graph).program.graph.nodes:
        if node.op == "call_function" and site_of(node) == named["site"]:
            frame = innermost(frames(str(node.meta.get("stack_trace") or "")))
            return message if frame is None else f"{message}, at {frame}"
    return message
