from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from edgevit.core.errors import InputError
from edgevit.core.results.gate import Flip, GateReport
from edgevit.report.gate import markdown
from tests.edgevit.report.gate import _report

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
# Tags that stand in what is rendered; everything else is text.
OURS = {"<code>", "</code>"}


def inline(text: str) -> list[Token]:
    """Every inline token, as an independent reader sees them."""
    return [child for token in READER.parse(text) for child in token.children or ()]


def cells(text: str) -> list[list[str]]:
    """The text of all rows of all tables."""
    rows: list[list[str]] = []
    tokens = READER.parse(text)
    for at, token in enumerate(tokens):
        if token.type == "tr_open":
            rows.append([])
        elif token.type in ("td_open", "th_open"):
            children = tokens[at + 1].children or ()
            rows[-1].append("".join(c.content for c in children if c.type in ("text", "text_special")))
    return rows


def test_the_verdict_is_the_first_line(found: GateReport) -> None:
    text = markdown.render(found)
    assert text.splitlines()[0] == "## \u274c edgevit gate: failed"
    assert "2 regressed, 1 inconclusive, 3 not compared, 10 passed." in text
    assert markdown.render(_report.passing()).startswith("## \u2705 edgevit gate: passed\n")


def test_tables_have_what_did_not_pass_first_and_the_rest_folded(found: GateReport) -> None:
    text = markdown.render(found)
    assert text.count("<details>") == text.count("</details>") == 3
    rows = cells(text)
    assert [row[0][2:].strip() for row in rows[1:8]] == [
        "regressed", "regressed", "inconclusive", *["not compared"] * 3, "accepted"
    ]  # fmt: skip
    assert rows[1][1:] == [
        "tflite/w8a8", "accuracy", "91.40 %", "89.30 %", "+2.10 pp [+1.30, +2.95]", "1 pp", "2,000",
        "It lost 2.10 points on the same 2000 images, at least 1.30; the limit is 1.",
    ]  # fmt: skip
    assert text.index("on the same 2000 images") < text.index("<details>") < text.index("It grew by 0.4 %")


def test_foreign_text_shows_as_it_is_and_does_nothing(found: GateReport) -> None:
    text = markdown.render(found)
    tokens = inline(text)
    kinds = {token.type for token in tokens}
    assert kinds <= {"text", "text_special", "html_inline", "hardbreak", "softbreak", "entity"}
    assert {token.content for token in tokens if token.type == "html_inline"} == OURS
    rows = [row for row in cells(text) if row and row[0].startswith("val/")]
    shown = {row[0] for row in rows}
    assert f"val/{_report.SCRIPT}" in shown and f"val/{_report.PIPES}".strip() in {s.strip() for s in shown}
    assert f"val/{_report.EMOJI}" in shown
    assert r"val/cat\x00\u202egnp.exe\u200b\ud800\uffff" in shown
    assert {len(row) for row in rows} == {7}
    assert all(len(row) in (6, 7, 9) for row in cells(text))


def test_nobody_is_mentioned(found: GateReport) -> None:
    # GitHub replaces @name in the text of the page unless it stands within code.
    depth, bare = 0, []
    for token in inline(markdown.render(found)):
        depth += {"<code>": 1, "</code>": -1}.get(token.content, 0) if token.type == "html_inline" else 0
        bare += [] if depth else [token.content]
    text = "".join(bare)
    assert "@\u200boctocat" in text and "#\u200b12" in text
    assert "@octocat" not in text and "#12" not in text


@pytest.mark.parametrize(
    "note", ["- x", "1. x", "+ x", "# x", "> x", "* x", "    x", "12) x", "```", "---", "/close", "| a |"]
)
def test_a_note_is_one_entry_of_a_list(found: GateReport, note: str) -> None:
    text = markdown.render(replace(found, notes=(note,), flips=(), checks=()))
    kinds = [token.type for token in READER.parse(text)]
    assert kinds.count("bullet_list_open") == 1 and kinds.count("list_item_open") == 2
    blocks = {kind for kind in kinds if kind.endswith(("_open", "block", "fence", "hr"))}
    assert blocks == {"heading_open", "paragraph_open", "bullet_list_open", "list_item_open"}
    assert note.strip() in "".join(token.content for token in inline(text))


@pytest.mark.parametrize("limit", [0, 10, 150, 500, 1000, 2000, 4000, 5000, 6000, 10**6])
def test_it_is_cut_at_a_row_and_says_so(found: GateReport, limit: int) -> None:
    whole, text = markdown.render(found), markdown.render(found, limit)
    assert len(text.encode()) <= limit
    if len(whole.encode()) <= limit:
        assert text == whole
    elif text:
        assert "Cut here: " in text.rstrip().splitlines()[-1]
        assert text.count("<details>") == text.count("</details>")
        assert all(len(row) in (6, 7, 9) for row in cells(text))


def test_many_flips_stay_within_the_mebibyte(found: GateReport) -> None:
    flip = found.flips[0].worst[1]
    many = tuple(replace(flip, image=f"{flip.image}{i}" * 400) for i in range(100))
    big = replace(found, flips=(replace(found.flips[0], worst=many),))
    text = markdown.render(big)
    assert (1 << 20) - 50_000 < len(text.encode()) <= 1 << 20
    assert "of 100 images and all that follows would exceed 1,048,576 bytes." in text


def test_a_comment_is_short_enough_for_github(found: GateReport) -> None:
    flip = found.flips[0].worst[-1]
    files = tuple(replace(found.flips[0], subject=f"onnx/{i}", worst=(flip,) * 60) for i in range(12))
    text = markdown.render(replace(found, flips=files), markdown.COMMENT_BYTES)
    assert len(text) <= 65_536 and text.startswith("## ") and "Cut here: " in text


def test_the_summary_of_the_step_is_appended_to(found: GateReport, tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    assert markdown.append_summary(found, path)
    once = path.read_text()
    assert once == markdown.render(found)
    assert markdown.append_summary(found, path)
    assert path.read_text() == f"{once}\n\n{once}"


def test_the_summary_never_grows_above_its_limit(found: GateReport, tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    path.write_bytes(b"x" * ((1 << 20) - 2000))
    assert markdown.append_summary(found, path)
    assert path.stat().st_size <= 1 << 20 and "Cut here" in path.read_text()
    path.write_bytes(b"x" * ((1 << 20) - 20))
    assert not markdown.append_summary(found, path)
    assert path.stat().st_size == (1 << 20) - 20


def test_a_summary_that_is_no_file_is_refused(found: GateReport, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the summary of the step"):
        markdown.append_summary(found, tmp_path)


def test_the_file_of_the_summary_is_what_github_names() -> None:
    assert markdown.summary_file({"GITHUB_STEP_SUMMARY": "/x/y"}) == Path("/x/y")
    assert markdown.summary_file({"GITHUB_STEP_SUMMARY": ""}) is markdown.summary_file({}) is None


def test_images_without_labels_have_a_dash(found: GateReport) -> None:
    flip: Flip = replace(found.flips[0].worst[0], label=None)
    text = markdown.render(replace(found, flips=(replace(found.flips[0], worst=(flip,)),)))
    assert ["val/cat/0001.png", "\u2013", "cat", "cat", "dog", "lost", "7.2"] in cells(text)
