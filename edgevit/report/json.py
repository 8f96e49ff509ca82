"""report.json."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from edgevit.core.disk.documents import read_json
from edgevit.core.foreign import json_text
from edgevit.core.results.report import Report, from_json, to_json

FILE_NAME: Final = "report.json"


def render(report: Report) -> str:
    """The report as indented JSON with a newline at the end."""
    return json_text(to_json(report), 2) + "\n"


def read(path: Path) -> Report:
    """Read a report back.

    Raises:
        InputError: the file is missing, is no JSON, or is no report; the message says which.
    """
    return from_json(read_json(path, "report", "is it a file that edgevit wrote?"))
