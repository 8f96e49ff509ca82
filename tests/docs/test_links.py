"""Every link within the repository leads to a file that is there, and to a heading of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs._pages import ROOT, anchors, links, pages


def dead(page: Path) -> list[str]:
    found = []
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or ROOT not in (file, *file.parents) or (anchor and anchor not in anchors(file)):
            found.append(target)
    return found


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_is_dead(page: Path) -> None:
    assert dead(page) == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b` c\n\n[a](#a-b-c) [b](#none) [c](none.md) ![d](none.png) `[e](none)` [f](https://example.org)"
    )
    assert dead(page) == ["#a-b-c", "#none", "none.md", "none.png"]  # it lies outside of the repository


def test_every_page_is_on_the_site() -> None:
    """In mkdocs.yml once each, and the list of decisions has every one."""
    listed = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    made = ["index.md", "contributing.md", "changelog.md", "examples.md", "commands.md"]
    here = [path.name for path in (ROOT / "docs").glob("*.md")]
    assert sorted(listed) == sorted([*here, *made, "adr/README.md"])
    decisions = re.findall(r"\]\((\d{4}-.*?\.md)\)", (ROOT / "docs" / "adr" / "README.md").read_text())
    assert sorted(decisions) == sorted(path.name for path in (ROOT / "docs" / "adr").glob("0*.md"))
