"""An environment is there whole, or not at all; pip is played by what writes the tool itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edgevit.core.errors import StepError
from edgevit.core.process import tool_environment
from edgevit.core.process.tool_environment import Tool
from edgevit.core.progress import Silent

TOOL = Tool("tool", "a-tool", "1.2", "a_tool.main")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def _pip(monkeypatch: pytest.MonkeyPatch, code: str, status: int = 0, said: str = "") -> list[str]:
    calls: list[str] = []

    def pip(*words: str, hint: str) -> subprocess.CompletedProcess[str]:
        calls.append(words[-1])
        (site,) = Path(words[1]).parent.parent.glob("lib/python3*/site-packages")
        (site / "a_tool").mkdir()
        (site / "a_tool" / "main.py").write_text(code)
        return subprocess.CompletedProcess(words, status, "", said)

    monkeypatch.setattr(tool_environment, "pip", pip)
    return calls


def test_it_is_made_once_and_its_python_has_the_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "needs an environment of its own" in (tool_environment.missing(TOOL) or "")
    calls = _pip(monkeypatch, "print(6 * 7)")
    folder = tool_environment.make(TOOL, Silent())
    assert folder == tool_environment.make(TOOL, Silent()) == tmp_path / "edgevit" / "tool-1.2"
    assert calls == ["a-tool==1.2"] and tool_environment.missing(TOOL) is None
    python = tool_environment.python_of(TOOL)
    done = subprocess.run([python, "-m", "a_tool.main"], capture_output=True, text=True, check=True)
    assert done.stdout == "42\n"
    assert [path.name for path in folder.parent.iterdir()] == ["tool-1.2"]


@pytest.mark.parametrize(
    ("code", "status", "said", "told"),
    [
        ("", 1, "ERROR: No matching distribution found", "could not install a-tool 1.2: No matching"),
        ("", 1, "WARNING: Retrying (Retry(total=4", "no connection to its package index"),
        ("import nothing_of_the_kind", 0, "", "cannot be imported: .*nothing_of_the_kind"),
    ],
    ids=["no such version", "no network", "it cannot be imported"],
)
def test_nothing_stays_of_one_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, status: int, said: str, told: str
) -> None:
    _pip(monkeypatch, code, status, said)
    with pytest.raises(StepError, match=told):
        tool_environment.make(TOOL, Silent())
    assert not list((tmp_path / "edgevit").iterdir())
