from __future__ import annotations

import json as stdlib_json
from pathlib import Path

import pytest

from edgevit.core.errors import InputError
from edgevit.core.results.report import Report
from edgevit.report import json


def test_a_written_report_is_read_back(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.render(report), encoding="utf-8")
    assert json.read(path) == report
    assert stdlib_json.loads(json.render(report))["schema_version"] == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "does not exist"), ("{", "not JSON"), ("[]", "expected an object"), ("{}", "missing")],
)
def test_what_is_no_report_is_an_input_error(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "report.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=words):
        json.read(path)
