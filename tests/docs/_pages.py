"""The Markdown of the repository, apart: what is shown as code, and what links to what."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
_FENCE: Final = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
_SPAN: Final = re.compile(r"`([^`]+)`")
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")


@cache
def pages() -> tuple[Path, ...]:
    """Every Markdown file that is, or is about to be, part of the repository."""
    listed = ["git", "ls-files", "-co", "--exclude-standard", "*.md"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return tuple(ROOT / name for name in names if (ROOT / name).exists())


def code_blocks(page: Path) -> list[tuple[str, str]]:
    """(language, text) of each block."""
    return _FENCE.findall(page.read_text(encoding="utf-8"))


def spans(page: Path) -> list[str]:
    """What stands in `code` outside of blocks, each on one line."""
    return [
        " ".join(span.split()) for span in _SPAN.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))
    ]


def commands(page: Path) -> list[str]:
    """Every `edgevit COMMAND ...` of a page as one line: in blocks, where `\\` goes on, and in `code`."""
    text = page.read_text(encoding="utf-8")
    blocks = [body for _, body in _FENCE.findall(text)]
    lines = [line for body in blocks for line in re.sub(r"\\\n\s*", "", body).splitlines()]
    indented = re.findall(r"^    (edgevit .*)$", _FENCE.sub("", text), re.MULTILINE)
    found = []
    for line in [*lines, *indented, *spans(page)]:
        words = re.match(r"\s*(?:- run: |\$ )?edgevit ([a-z-]+( .*)?)$", line)
        if words:
            found.append(re.split(r"\s+#|\s+[>|]\s", words[1])[0].strip())
    return found


def fragments(page: Path) -> list[str]:
    """Flags with their values that stand alone in `code`, such as `--to onnx --precision w8`; not `--threads N`."""
    spans = [
        " ".join(span.split()) for span in _SPAN.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))
    ]
    whole = [span for span in spans if span.startswith("--") and " " in span and not span.endswith("=")]
    return [span for span in whole if not re.search(r"[ =][A-Z]+\b", span)]


def links(page: Path) -> list[str]:
    """Targets of links and images that stay within the repository."""
    text = _SPAN.sub("", _FENCE.sub("", page.read_text(encoding="utf-8")))
    return [target for target in _LINK.findall(text) if not re.match(r"[a-z]+:", target)]


@cache
def anchors(page: Path) -> frozenset[str]:
    """Of a page's headings, as code hosts and the documentation site make them."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ +(.*?) *$", text, re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return frozenset(re.sub(r"[^\w\- ]", "", heading).replace(" ", "-").lower() for heading in plain)
