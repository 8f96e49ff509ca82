"""A Graph as one .pt2 file."""

from __future__ import annotations

import json
from pathlib import Path

from edgevit.core.types import Graph

_KEY = "edgevit.rewrites"


def save(graph: Graph, path: Path) -> None:
    """Write `graph` to `path`; site names and rewrites travel inside the file."""
    import torch

    torch.export.save(graph.program, path, extra_files={_KEY: json.dumps(graph.rewrites)})


def load(path: Path) -> Graph:
    """Read what `save` wrote."""
    import torch

    extra = {_KEY: ""}
    program = torch.export.load(path, extra_files=extra)
    return Graph(program, tuple(json.loads(extra[_KEY] or "[]")))
