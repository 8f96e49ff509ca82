"""Put together what the documentation site is made of: `python docs/_site.py DIR`, before the generator runs.

Besides the pages of this folder these are README.md and its like, whose links change with their place, and the help of
every command as the command line prints it.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path, PurePosixPath
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
DOCS: Final = PurePosixPath("docs")
# Files outside of docs/ that are pages of the site too.
PAGES: Final = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "examples/README.md": "examples.md",
}
# Code, in which nothing is a link; or a link or an image.
_LINK: Final = re.compile(
    r"^ *```.*?^ *```|`[^`\n]+`|(!?)\[((?:`[^`]*`|!\[[^\]]*\]\([^)]*\)|[^\]`])*)\]\(([^)\s]+)\)",
    re.DOTALL | re.MULTILINE,
)


def main(target: Path) -> None:
    """Write all pages into `target`, which is made anew."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(ROOT / DOCS, target, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    own = {
        str(path.relative_to(ROOT)): str(path.relative_to(ROOT / DOCS))
        for path in (ROOT / DOCS).rglob("*.md")
    }
    for source, page in (own | PAGES).items():
        text = (ROOT / source).read_text(encoding="utf-8")
        (target / page).write_text(relink(text, source), encoding="utf-8")
    (target / "commands.md").write_text(commands(), encoding="utf-8")


def relink(text: str, source: str) -> str:
    """The relative links of a file of the repository as links of the site; one that leaves the site becomes text."""
    source_folder, page_folder = (
        str(Path(p).parent) for p in (source, PAGES.get(source, source.removeprefix("docs/")))
    )

    def link(found: re.Match[str]) -> str:
        image, words, target = found.groups()
        if target is None or re.match(r"[a-z]+:|#", target):
            return found[0]
        path, hash_, anchor = target.partition("#")
        path = os.path.normpath(f"{source_folder}/{path}")
        if path in PAGES or path.startswith("docs/"):
            page = os.path.relpath(PAGES.get(path, path.removeprefix("docs/")), page_folder)
            return f"{image}[{words}]({page}{hash_}{anchor})"
        return words if words.strip("`") == path else f"{words} (`{path}`)"

    return _LINK.sub(link, text)


def commands() -> str:
    """The help of every command, 100 columns wide."""
    sys.path.insert(0, str(ROOT))
    import typer

    from edgevit.cli import app

    group = typer.main.get_command(app)
    context = group.make_context("edgevit", [], resilient_parsing=True)
    parts = ["# Commands\n\nWhat `edgevit COMMAND --help` prints.\n"]
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = command.make_context(f"edgevit {name}", [], resilient_parsing=True, max_content_width=100)
        parts.append(f"## edgevit {name}\n\n```text\n{command.get_help(inner)}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
