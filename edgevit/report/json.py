"""report.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from edgevit.core.errors import InputError
from edgevit.core.foreign import json_text
from edgevit.core.regular import regular_file
from edgevit.core.report import Report, from_json, to_json

FILE_NAME: Final = "report.json"


def render(report: Report) -> str:
    """The report as indented JSON with a newline at the end."""
    return json_text(to_json(report), 2) + "\n"


def read(path: Path) -> Report:
    """Read a report back.

    Raises:
        InputError: the file is missing, is no JSON, or is no report; the message says which.
    """
    try:
        data = json.loads(
            regular_file(path, "report", "is it a bundle that edgevit wrote?").read_text(encoding="utf-8")
        )
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}", "is it a bundle that edgevit wrote?"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}", "is it a file that edgevit wrote?") from error
    return from_json(data)
