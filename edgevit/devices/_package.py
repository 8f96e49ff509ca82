"""The agent as one file: its modules zipped, the same bytes from the same source."""

from __future__ import annotations

import hashlib
import io
import zipfile
from functools import cache
from pathlib import Path
from typing import Final

import edgevit.agent

_MAIN: Final = "import sys\n\nfrom edgevit_agent.serve import main\n\nmain(sys.argv[1:])\n"
_DATE: Final = (1980, 1, 1, 0, 0, 0)


@cache
def agent_archive() -> tuple[bytes, str]:
    """The archive, which Python executes as it is, and its sha256."""
    source = Path(edgevit.agent.__file__).parent
    files = {f"edgevit_agent/{path.name}": path.read_bytes() for path in sorted(source.glob("*.py"))}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:  # no two zlib versions to agree
        for name, content in {"__main__.py": _MAIN.encode(), **files}.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), content)
    data = buffer.getvalue()
    return data, hashlib.sha256(data).hexdigest()
