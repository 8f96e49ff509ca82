"""Entries are found whole or not at all, whatever happened to their files."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from edgevit.core.cache.store import FILES, LIST, Cache, Key, digest_of, entries, files_in, trim
from edgevit.core.errors import EdgevitError, StorageError

KEY = Key("plan", {"graph": "abc", "seed": 0})


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    (folder / "inner").mkdir(parents=True)
    (folder / "result.json").write_text("{}")
    (folder / "inner" / "values.bin").write_bytes(bytes(range(256)) * 9000)  # more than one chunk
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def test_what_was_kept_is_found_to_the_byte(cache: Cache, made: Path, tmp_path: Path) -> None:
    assert cache.find(KEY, tmp_path / "out") == "miss"
    cache.keep(KEY, files_in(made))
    assert cache.find(KEY, tmp_path / "out") == "hit"
    assert {n: p.read_bytes() for n, p in files_in(tmp_path / "out").items()} == {
        n: p.read_bytes() for n, p in files_in(made).items()
    }


@pytest.mark.parametrize(
    "other",
    [
        Key("plan", {"graph": "abc", "seed": 1}),
        Key("plan", {"graph": "abc"}),
        Key("stats", {"graph": "abc", "seed": 0}),
        Key("plan", {"graph": "abc", "seed": "0"}),
        Key("plan", {"graph": "abc", "seed": 0, "further": None}),
    ],
)
def test_another_key_finds_nothing(cache: Cache, made: Path, tmp_path: Path, other: Key) -> None:
    cache.keep(KEY, files_in(made))
    assert cache.find(other, tmp_path / "out") == "miss"


def test_the_order_of_facts_does_not_matter() -> None:
    assert Key("plan", {"seed": 0, "graph": "abc"}).digest == KEY.digest
    assert digest_of({"a": [1, 2]}) != digest_of({"a": [2, 1]})


def _truncate(place: Path) -> None:
    file = place / FILES / "inner" / "values.bin"
    file.write_bytes(file.read_bytes()[:-1])


def _flip(place: Path) -> None:
    file = place / FILES / "inner" / "values.bin"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def _replace_by_link(place: Path) -> None:
    file = place / FILES / "inner" / "values.bin"
    other = place.parent / "elsewhere"
    file.rename(other)
    file.symlink_to(other)


def _replace_by_pipe(place: Path) -> None:
    (place / FILES / "result.json").unlink()
    os.mkfifo(place / FILES / "result.json")


def _remove(place: Path) -> None:
    (place / FILES / "result.json").unlink()


def _lead_upwards(place: Path) -> None:
    text = (place / LIST).read_text()
    (place / LIST).write_text(text.replace('"result.json"', '"../../../result.json"'))


@pytest.mark.parametrize(
    "damage",
    [
        _truncate,
        _flip,
        _replace_by_link,
        _replace_by_pipe,
        _remove,
        _lead_upwards,
        lambda place: (place / LIST).write_text("{"),
        lambda place: (place / LIST).write_text("[]"),
        lambda place: (place / LIST).write_bytes(b"\xff\xfe\x00"),
        lambda place: (place / LIST).write_text('{"kind": "plan", "facts": {}, "files": {}}'),
        lambda place: (place / LIST).write_text(
            '{"kind": "plan", "facts": {"graph": "abc", "seed": 0}, "files": 3}'
        ),
        lambda place: (place / LIST).write_text('{"kind": "plan", "facts": {"graph": "abc", "seed": 0}}'),
    ],
)
def test_a_damaged_entry_is_removed_and_leaves_nothing(
    cache: Cache, made: Path, tmp_path: Path, damage: object
) -> None:
    cache.keep(KEY, files_in(made))
    damage(cache.place_of(KEY))  # type: ignore[operator]
    assert cache.find(KEY, tmp_path / "out") == "damaged"
    assert not files_in(tmp_path / "out") if (tmp_path / "out").exists() else True
    assert cache.find(KEY, tmp_path / "out") == "miss"
    cache.keep(KEY, files_in(made))
    assert cache.find(KEY, tmp_path / "out") == "hit"


def test_several_runs_keep_and_find_the_same_at_once(cache: Cache, made: Path, tmp_path: Path) -> None:
    found: list[str] = []

    def work(number: int) -> None:
        for turn in range(10):
            cache.keep(KEY, files_in(made))
            found.append(cache.find(KEY, tmp_path / f"out-{number}-{turn}"))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["hit"] * 40
    assert len(list(entries(cache.folder))) == 1
    assert not [path for path in cache.folder.iterdir() if path.name.startswith(".new-")]


def test_what_a_killed_run_left_is_no_entry_and_is_removed(cache: Cache, made: Path, tmp_path: Path) -> None:
    code = f"""
        import os, signal
        from pathlib import Path
        from edgevit.core.cache import store
        copy = store._copy
        def killed(source, target):
            if source.name == "values.bin":
                os.kill(os.getpid(), signal.SIGKILL)
            return copy(source, target)
        store._copy = killed
        files = store.files_in(Path({str(made)!r}))
        key = store.Key("plan", {{"graph": "abc", "seed": 0}})
        store.Cache(Path({str(cache.folder)!r})).keep(key, dict(reversed(files.items())))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert done.returncode == -9
    assert [path for path in cache.folder.iterdir() if path.name.startswith(".new-")]
    assert cache.find(KEY, tmp_path / "out") == "miss"
    trim(cache.folder, 10**9)
    assert not list(cache.folder.iterdir())


def test_a_file_in_its_place_is_told_and_nothing_is_left(made: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(EdgevitError, match="cache"):
        Cache(tmp_path / "cache").keep(KEY, files_in(made))


def test_a_source_that_cannot_be_read_leaves_no_entry(cache: Cache, tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        cache.keep(KEY, {"a": tmp_path / "missing"})
    assert not list(entries(cache.folder))


def test_what_was_not_used_for_longest_goes_first(cache: Cache, made: Path, tmp_path: Path) -> None:
    keys = [Key("plan", {"n": n}) for n in range(4)]
    for age, key in enumerate(keys):
        cache.keep(key, files_in(made))
        os.utime(cache.place_of(key) / LIST, (1000 + age, 1000 + age))
    assert cache.find(keys[0], tmp_path / "out") == "hit"  # now it is the youngest
    size = next(iter(entries(cache.folder))).size
    removed, freed = trim(cache.folder, 2 * size + 10)
    assert (removed, freed) == (2, 2 * size)
    assert [cache.find(key, tmp_path / f"o{i}") for i, key in enumerate(keys)] == [
        "hit",
        "miss",
        "miss",
        "hit",
    ]


def test_a_clock_that_jumps_changes_the_order_alone(cache: Cache, made: Path, tmp_path: Path) -> None:
    cache.keep(KEY, files_in(made))
    for seconds in (0, 2**33):
        os.utime(cache.place_of(KEY) / LIST, (seconds, seconds))
        assert cache.find(KEY, tmp_path / f"out-{seconds}") == "hit"
    assert trim(cache.folder, 10**9) == (0, 0)


def test_folders_of_any_depth_are_removed(cache: Cache, made: Path) -> None:
    cache.keep(KEY, files_in(made))
    deep = cache.place_of(KEY) / FILES
    for _ in range(1500):
        deep /= "d"
        deep.mkdir()
    assert next(iter(entries(cache.folder))).size > 256 * 9000
    assert trim(cache.folder, 0)[0] == 1
    assert not list(entries(cache.folder)) and not cache.place_of(KEY).exists()


def test_what_a_removal_left_half_is_made_again(cache: Cache, made: Path, tmp_path: Path) -> None:
    cache.keep(KEY, files_in(made))
    (cache.place_of(KEY) / LIST).unlink()
    assert cache.find(KEY, tmp_path / "out") == "miss"
    cache.keep(KEY, files_in(made))
    assert cache.find(KEY, tmp_path / "out") == "hit"


@pytest.mark.parametrize("name", ["a\\u0000b", "inner/values.bin/further", "/etc/passwd", ""])
def test_names_that_no_entry_has_are_damage(cache: Cache, made: Path, tmp_path: Path, name: str) -> None:
    cache.keep(KEY, files_in(made))
    text = (cache.place_of(KEY) / LIST).read_text()
    (cache.place_of(KEY) / LIST).write_text(text.replace('"result.json"', f'"{name}"'))
    assert cache.find(KEY, tmp_path / "out") == "damaged"
