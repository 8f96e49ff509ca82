"""Whose folder it is, and whether what lies there may be believed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgevit.core.cache.place import FORMAT, Place, locate, open_place
from edgevit.core.errors import UsageError


def test_the_flag_wins_over_the_variable_over_the_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("EDGEVIT_CACHE", raising=False)
    monkeypatch.delenv("EDGEVIT_CACHE_HOME", raising=False)
    found = locate(None)
    assert found is not None and found.root == tmp_path / "home" / "edgevit" / "results"
    monkeypatch.setenv("EDGEVIT_CACHE", str(tmp_path / "variable"))
    found = locate(None)
    assert found is not None and found.root == tmp_path / "variable"
    found = locate(str(tmp_path / "flag"))
    assert found is not None and found.root == tmp_path / "flag"
    assert locate("off") is None
    monkeypatch.setenv("EDGEVIT_CACHE", "off")
    assert locate(None) is None


def test_a_size_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEVIT_CACHE_GB", "much")
    with pytest.raises(UsageError, match="EDGEVIT_CACHE_GB=much is no size"):
        locate("somewhere")
    monkeypatch.setenv("EDGEVIT_CACHE_GB", "2.5")
    found = locate("somewhere")
    assert found is not None and found.limit == 2_500_000_000


def test_it_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    place = Place(tmp_path / "new" / "cache", 10)
    assert open_place(place) is None
    assert place.folder.stat().st_mode & 0o777 == 0o700
    assert (place.root / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")
    assert open_place(place) is None


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert open_place(Place(tmp_path / "file", 10)) is not None
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / FORMAT).write_text("")
    assert "is not a folder" in str(open_place(Place(tmp_path / "cache", 10)))


def test_what_others_may_write_to_is_not_believed(tmp_path: Path) -> None:
    place = Place(tmp_path / "cache", 10)
    assert open_place(place) is None
    place.folder.chmod(0o770)
    assert "other users may write" in str(open_place(place))
    place.folder.chmod(0o700)
    place.root.chmod(0o777)
    assert "other users may write" in str(open_place(place))
    place.root.chmod(0o1777)  # such as /tmp: nobody renames what is ours there
    assert open_place(place) is None


def test_a_link_in_the_place_of_the_entries_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "cache").mkdir(mode=0o700)
    (tmp_path / "cache" / FORMAT).symlink_to(tmp_path / "elsewhere")
    assert "is not a folder" in str(open_place(Place(tmp_path / "cache", 10)))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_what_belongs_to_somebody_else_is_not_believed(tmp_path: Path) -> None:
    place = Place(tmp_path / "cache", 10)
    assert open_place(place) is None
    os.chown(place.folder, 12345, 12345)
    assert "belongs to another user" in str(open_place(place))
