"""`edgevit cache` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgevit.cli import main
from edgevit.core.cache.place import Place, open_place
from edgevit.core.cache.store import Cache, Key, files_in


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A cache with three entries of 1,000 bytes and more."""
    place = Place(tmp_path / "cache", 10**9)
    assert open_place(place) is None
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "values").write_bytes(b"x" * 1000)
    for number, kind in enumerate(("plan", "plan", "built")):
        part = place.folder if kind == "built" else place.folder / "model-0123"
        Cache(part).keep(Key(kind, {"n": number}), files_in(tmp_path / "made"))
    (place.root / "v2").mkdir()
    (place.root / "v2" / "theirs").write_text("of a newer edgevit")
    return place.root


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, object]]:
    with pytest.raises(SystemExit) as ended:
        main(["cache", *arguments, "--json"])
    return int(str(ended.value.code)), json.loads(capsys.readouterr().out)


def test_info_counts_by_kind(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = told(capsys, "info", "--cache", str(filled))
    assert code == 0 and found["entries"] == 3 and found["other_formats"] == ["v2"]
    kinds = {kind["kind"]: kind["entries"] for kind in found["kinds"]}  # type: ignore[attr-defined]
    assert kinds == {"built": 1, "plan": 2}
    assert 3000 < int(str(found["bytes"])) < 6000


def test_prune_keeps_to_a_size_and_clear_removes_all_of_ours(
    filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = told(capsys, "prune", "--max-size", "0.0000028", "--cache", str(filled))
    assert code == 0 and found["removed_entries"] == 1 and found["entries"] == 2
    code, found = told(capsys, "clear", "--cache", str(filled))
    assert code == 0 and found["removed_entries"] == 2 and found["entries"] == 0
    assert (filled / "v2" / "theirs").exists()
    code, found = told(capsys, "--cache", str(filled))
    assert code == 0 and found["bytes"] == 0


def test_a_place_that_is_not_there_is_empty_and_is_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = told(capsys, "--cache", str(tmp_path / "none"))
    assert code == 0 and found["entries"] == 0 and not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("shrink",), "unknown action"),
        (("clear", "--max-size", "3"), "--max-size goes with prune"),
        (("info", "--cache", "off"), "the cache is off"),
    ],
)
def test_mistakes_are_told(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = told(capsys, *arguments)
    assert code == 2 and words in found["error"]["message"]  # type: ignore[index]


def test_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine")
    code, found = told(capsys, "clear", "--cache", str(tmp_path / "file"))
    assert code == 2 and "is not a folder" in found["error"]["message"]  # type: ignore[index]
    assert (tmp_path / "file").read_text() == "mine"
