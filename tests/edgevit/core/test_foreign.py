from __future__ import annotations

import json
import struct
import unicodedata

import pytest

from edgevit.core.foreign import brief, json_text, printable

ESCAPED = {
    "\x1b[2J": r"\x1b[2J",  # clears the screen
    "\x9b31m": r"\x9b31m",  # the same begun by one C1 character
    "\x1b]0;title\x07": r"\x1b]0;title\x07",
    "a\nhint: b\r\t": r"a\nhint: b\r\t",
    "\x7f\x00\x08": r"\x7f\x00\x08",
    "evil\u202egnp.exe": r"evil\u202egnp.exe",
    "\u2066a\u2069\u200e\u061c": r"\u2066a\u2069\u200e\u061c",
    "a\u200bb\u200db\u200c\ufeff\xad": r"a\u200bb\u200db\u200c\ufeff\xad",
    "a\u2028b\u2029": r"a\u2028b\u2029",
    "\ud800 \udcff": r"\ud800 \udcff",
    "\u3164\u2800\u115f": r"\u3164\u2800\u115f",  # letters that nobody sees
    "\U000e0041": r"\U000e0041",
}
READABLE = (
    "plain text, 100 % = {a: [b]} \\ ` $",
    "naïve Łódź Ελλάδα Москва",
    "猫と犬 고양이 แมว",
    "عربى ٣ ־ עברית",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \u0915\u094d\u200d\u0937",  # joiners within words
    "👩\u200d👧 ☕\ufe0f → ± 1\xa0000",
)


@pytest.mark.parametrize(("text", "shown"), ESCAPED.items())
def test_what_controls_or_hides_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("text", READABLE)
def test_what_people_read_stays(text: str) -> None:
    assert printable(text) == text


def test_no_character_gets_through_that_unicode_calls_control_format_or_separator() -> None:
    """Category and bidirectional class as Python's own table has them, of all planes that hold assigned ones."""
    assigned = (*range(0x1FC00), *range(0x20000, 0x20010), *range(0xE0000, 0xE0200))
    kept = {char for char in map(chr, assigned) if printable(char) == char}
    assert not {unicodedata.category(c) for c in kept} & {"Cc", "Cs", "Cn", "Zl", "Zp"}
    # Of the format characters only number signs and marks that are drawn.
    drawn = {c for c in kept if unicodedata.category(c) == "Cf"}
    assert all(unicodedata.name(c).startswith(("ARABIC", "SYRIAC ABBR", "KAITHI")) for c in drawn)
    assert not {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "BN"} & {
        unicodedata.bidirectional(c) for c in kept
    }


def test_lines_stay_lines_where_a_trace_is_shown() -> None:
    assert printable("a\n\tb\x1b\r\n", lines=True) == "a\n\tb\\x1b\\r\n"


@pytest.mark.parametrize("text", [*ESCAPED, *READABLE])
def test_json_says_the_same_without_what_a_terminal_obeys(text: str) -> None:
    written = json_text({text: [text]}, 2)
    assert json.loads(written) == {text: [text]}
    assert printable(written, lines=True) == written
    written.encode()  # lone surrogates too


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyError("encoder"), "'encoder' in it is missing or unknown"),
        (RecursionError("maximum recursion depth exceeded"), "it is nested too deeply"),
        (struct.error("unpack requires a buffer of 4 bytes"), "its structure is damaged"),
        (AssertionError(), "its structure is damaged"),
        (
            RuntimeError(
                "[ONNXRuntimeError] : 1 : FAIL : Load model from /a/m.onnx failed:/src/onnxruntime/core/"
                "graph/model.cc:182 onnxruntime::Model::Model(ModelProto&&, const PathString&) "
                "ModelProto does not have a graph.\nmore"
            ),
            "ModelProto does not have a graph",
        ),
        (ValueError("x" * 900), "x" * 240 + " ..."),
    ],
)
def test_a_library_is_quoted_with_what_a_person_reads(error: Exception, told: str) -> None:
    assert brief(error) == told
