from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests._ssh_server import Server, serving


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server whose client is the `ssh` of this process; temporary files lie in `tmp_path / "tmp"`."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    with serving(tmp_path / "board") as running:
        monkeypatch.setenv("PATH", f"{running.programs}:{os.environ['PATH']}")
        yield running
