from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from edgevit.core.disk.documents import DEPTH, DIGITS, SIZE, parse_json, read_json, read_toml
from edgevit.core.errors import InputError


def nested(levels: int, begin: str, end: str) -> str:
    return begin * levels + "1" + end * levels


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (nested(100_000, "[", "]"), "64 levels"),
        ("[" * 100_000, "64 levels"),
        (nested(5_000, '{"a":', "}"), "64 levels"),
        (nested(DEPTH + 1, "[", "]"), "64 levels"),
        ("1" * 6000, "40 digits"),
        ("-" + "1" * (DIGITS + 1), "40 digits"),
        ('{"a": [NaN]}', "NaN is no finite number"),
        ("[-Infinity]", "-Infinity is no finite number"),
        ("[1e999]", "1e999 is no finite number"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "'c' stands twice"),
        ('{"a": 1', "line 1"),
        ('"[[[', "Unterminated string"),
        ("", "not JSON"),
    ],
)
def test_json_out_of_bounds_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match="the text is .*" + words):
        parse_json(text, "the text")


@pytest.mark.parametrize(
    "text",
    [
        nested(DEPTH, "[", "]"),
        '{"a": "' + "[" * 1000 + '", "b": "\\"[[' + "{" * 1000 + '"}',  # brackets in texts are no levels
        "[" + "[],{}," * 1000 + "-0.5e-3]",
        "9" * DIGITS,
        '["\\ud800", "\\u202e", "é"]',
        " \n null ",
    ],
)
def test_json_within_bounds_is_what_python_reads(text: str) -> None:
    assert parse_json(text, "the text") == json.loads(text)
    assert parse_json(b"\xef\xbb\xbf" + text.encode(), "the text") == json.loads(text)


def test_a_file_is_bounded_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'{"a": "' + bytes([32]) * SIZE + b'"}')
    with pytest.raises(InputError, match=r"more than 16 MiB"):
        read_json(path, "the manifest")
    path.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(InputError, match=r"a.json is not UTF-8 text \(byte 7\)"):
        read_json(path, "the manifest")
    path.write_text("[1]")
    with pytest.raises(InputError, match="expected an object"):
        read_json(path, "the manifest")


@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "missing"])
def test_what_is_no_file_is_refused_without_waiting(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    for read in (read_json, read_toml):
        with pytest.raises(InputError, match="a.toml"):
            read(path, "the recipe")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = " + nested(2000, "[", "]"), "64 levels"),
        ("a = " + nested(2000, "{b=", "}"), "64 levels"),
        (".".join("a" * 2000) + " = 1", "64 levels"),
        ("[" + ".".join("a" * 2000) + "]", "64 levels"),
        ("a = " + "1" * 6000, "digits"),
        ("a = 0x" + "f" * 6000, "40 digits"),
        ("a = [1, " + "1" * (DIGITS + 1) + "]", "40 digits"),
        ("a = nan", "no finite number"),
        ("a = 1e999", "no finite number"),
        ("a = 1\na = 2", "overwrite"),
        ("a = ", "Invalid value"),
    ],
)
def test_toml_out_of_bounds_is_refused(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_toml(path, "the recipe")


def test_brackets_in_texts_and_comments_of_toml_are_no_levels(tmp_path: Path) -> None:
    many = "[" * 500
    path = tmp_path / "a.toml"
    path.write_text(
        f"# it's {many}\na = \"{many}\\\"{many}\"\nb = '{many}'\nc = '''\n{many}'\n'''\nd = [[1], [2]] # {many}\n"
    )
    assert read_toml(path, "the recipe") == {
        "a": f'{many}"{many}', "b": many, "c": f"{many}'\n", "d": [[1], [2]]
    }  # fmt: skip
